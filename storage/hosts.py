"""Names that a program is asked by: a browser that another name led here was sent by a stranger's page."""

import ipaddress
from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
# Addresses that mean every interface, and are nobody's name.
EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - not listened on here


def is_loopback(address: str) -> bool:
    """Whether an address to listen on is reached from this machine alone."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def list_names(address: str, allowed: Sequence[str]) -> tuple[str, ...]:
    """Return patterns of the names of what listens on this address: loopback's, its own, and those that are allowed."""
    own = () if address in EVERYWHERE else (address.lower(),)
    return (*LOOPBACK_NAMES, *own, *(each.lower() for each in allowed))


def list_names_if_known(address: str, allowed: Sequence[str]) -> tuple[str, ...]:
    """Return the same; on every interface, where none is allowed, any name: nobody knows what it is called there."""
    return ("*",) if address in EVERYWHERE and not allowed else list_names(address, allowed)


def is_asked_by_name(host: str | None, names: Sequence[str]) -> bool:
    """Whether a Host header, with or without a port, is one of these names; what sends none is no browser."""
    if host is None:
        return True
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return any(fnmatchcase(name, pattern) for pattern in names)
