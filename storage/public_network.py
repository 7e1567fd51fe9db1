"""Connections to addresses that strangers name: to public ones alone, whatever their names resolve to.

The address that is checked is the one that is connected to, so that a name which resolves differently the second time
gains nothing; each redirect is a connection of its own.
"""

import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import certifi
import httpcore

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]

# Addresses that carry another one within: NAT64 (RFC 6052), whose last 32 bits are an IPv4 address.
NAT64 = ip_network("64:ff9b::/96")
# Protocol assignments (RFC 6890), some of which count as global, and site-local addresses (RFC 3879).
NOT_PUBLIC = (ip_network("192.0.0.0/24"), ip_network("fec0::/10"))


# What a connection may end with, beside ForbiddenAddressError and ValueError for what is no URL.
CONNECTION_ERRORS = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError)


class ForbiddenAddressError(OSError):
    """A host that has no public address."""


def resolve(host: str, port: int) -> list[str]:
    """Return the numeric addresses of a host; raises `socket.gaierror`."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def is_public(address: Address) -> bool:
    """Whether anybody on the internet may be asked at this address, and at the one that it carries within."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in NAT64:
            inner = IPv4Address(address.packed[-4:])
        if inner is not None:
            return is_public(inner)
    if any(address in network for network in NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class PublicBackend(httpcore.NetworkBackend):
    """Connects `httpcore` to public addresses, and to those in `allowed`."""

    def __init__(self, allowed: Iterable[Network] = (), resolve: Resolve = resolve) -> None:
        self._allowed = tuple(allowed)
        self._resolve = resolve
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of the host that may be and can be; raises ForbiddenAddressError."""
        try:
            found = [ip_address(each.partition("%")[0]) for each in self._resolve(host, port)]
        except socket.gaierror as error:
            raise httpcore.ConnectError(f"the name {host} cannot be resolved: {error.strerror}") from error
        permitted = [address for address in found if self._is_permitted(address)]
        if not permitted:
            raise ForbiddenAddressError(f"{host} has no public address")
        failed: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in permitted:
            try:
                return self._backend.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        assert failed is not None
        raise failed

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.NetworkStream:
        """Refuse."""
        raise ForbiddenAddressError(f"{path} is a socket of this machine")

    def sleep(self, seconds: float) -> None:
        """Wait, as `httpcore` does between tries."""
        self._backend.sleep(seconds)

    def _is_permitted(self, address: Address) -> bool:
        return is_public(address) or any(address in network for network in self._allowed)


def open_public_pool(
    allowed: Iterable[Network] = (), *, connections: int = 16, resolve: Resolve = resolve
) -> httpcore.ConnectionPool:
    """Return a pool of connections to public addresses, for HTTP and HTTPS; no proxy of the environment is asked."""
    return httpcore.ConnectionPool(
        ssl_context=ssl.create_default_context(cafile=certifi.where()),
        max_connections=connections,
        keepalive_expiry=30.0,
        network_backend=PublicBackend(allowed, resolve),
    )


def limit_steps(seconds: float) -> dict[str, dict[str, float]]:
    """Return the extension of a request whose every step is to take no longer than this."""
    return {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), seconds)}
