"""Host names that a program accepts; others come from a stranger's page that rebinds its DNS name."""

import ipaddress
from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
# These addresses mean every interface, and are no host names.
EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - not listened on here


def is_loopback(address: str) -> bool:
    """Whether a listening address is reachable from this machine only."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def list_names(address: str, allowed: Sequence[str]) -> tuple[str, ...]:
    """Return patterns of accepted names for this listening address: loopback's, its own, and the allowed ones."""
    own = () if address in EVERYWHERE else (address.lower(),)
    return (*LOOPBACK_NAMES, *own, *(each.lower() for each in allowed))


def list_names_if_known(address: str, allowed: Sequence[str]) -> tuple[str, ...]:
    """Return the same, but any name if it means every interface and none is allowed: the names are unknown then."""
    return ("*",) if address in EVERYWHERE and not allowed else list_names(address, allowed)


def is_asked_by_name(host: str | None, names: Sequence[str]) -> bool:
    """Whether a Host header, with or without a port, has one of these names; without a header it is not a browser."""
    if host is None:
        return True
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return any(fnmatchcase(name, pattern) for pattern in names)
