"""Addresses of Redis: of one server, in clear or by TLS, or of the Sentinels that know which server is the master."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

SENTINEL_SCHEME = "redis+sentinel"
SENTINEL_PORT = 26379


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Where Sentinels listen, the name by which they know the servers, and the password that all of these ask for."""

    addresses: tuple[tuple[str, int], ...]
    service: str
    password: str | None

    @property
    def login(self) -> dict[str, Any]:
        """The arguments of a client that authenticates."""
        return {} if self.password is None else {"password": self.password}

    @property
    def celery_url(self) -> str:
        """The URL that kombu reads: one for each Sentinel."""
        login = "" if self.password is None else f":{quote(self.password, safe='')}@"
        return ";".join(f"sentinel://{login}{host}:{port}/0" for host, port in self.addresses)


def read_sentinels(url: str) -> Sentinels | None:
    """Return what `redis+sentinel://:password@host:port,host:port/service` says; None for the URL of one server.

    Raises ValueError where it cannot be read.
    """
    parts = urlsplit(url)
    if parts.scheme != SENTINEL_SCHEME:
        return None
    login, _, hosts = parts.netloc.rpartition("@")
    password = unquote(login.partition(":")[2]) or None
    addresses = []
    for each in hosts.split(","):
        host, _, port = each.partition(":")
        if not host:
            raise ValueError("names no host")
        addresses.append((host, int(port) if port else SENTINEL_PORT))
    service = parts.path.strip("/")
    if not service or "/" in service:
        raise ValueError("names no service")
    return Sentinels(tuple(addresses), service, password)


def mask_password(url: str) -> str:
    """Return a URL, of whatever server, without its password."""
    return re.sub(r"(?<=://)([^:/]*):.*@", r"\1:***@", url)
