"""Connections to hosts named by strangers: only to public addresses, and within a deadline.

Connections use the checked address, so DNS rebinding does not help; each redirect is a new connection. Everything
happens within the `Deadline` of the calling thread.
"""

import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import certifi
import httpcore

from storage.deadline import CURRENT

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]

# Addresses that contain another one: NAT64 (RFC 6052), whose last 32 bits are an IPv4 address.
NAT64 = ip_network("64:ff9b::/96")
# Protocol assignments (RFC 6890), some of which Python considers global, and site-local addresses (RFC 3879).
NOT_PUBLIC = (ip_network("192.0.0.0/24"), ip_network("fec0::/10"))

# Names resolved at once. The system may take minutes for one, longer than the caller waits.
LOOKUPS_AT_ONCE = 128
# How long a read may continue after it was given up.
GLANCE_S = 0.5

# Exceptions of a connection, besides ForbiddenAddressError, and ValueError for an invalid URL.
CONNECTION_ERRORS = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError)


class ForbiddenAddressError(OSError):
    """The host has no public address."""


def explain_failure(error: Exception) -> str:
    """Return why a connection failed, without anything that the other side has sent."""
    reason = str(error) or type(error).__name__
    # `h11` quotes the invalid data after a colon.
    return reason.partition(":")[0] if isinstance(error, httpcore.RemoteProtocolError) else reason


def resolve(host: str, port: int) -> list[str]:
    """Return the numeric addresses of a host; raises `socket.gaierror`."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def is_public(address: Address) -> bool:
    """Whether this address, and any address it contains, is public."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in NAT64:
            inner = IPv4Address(address.packed[-4:])
        if inner is not None:
            return is_public(inner)
    if any(address in network for network in NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class PunctualStream(httpcore.NetworkStream):
    """A connection that observes the deadline of its caller; timeouts of single steps are ignored."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the next bytes; raises DeadlineError, and the errors of `httpcore`."""
        deadline = CURRENT.get()
        while True:
            with suppress(httpcore.ReadTimeout):
                data = self._stream.read(max_bytes, min(deadline.left_s(), GLANCE_S))
                deadline.count(len(data))
                return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send the bytes."""
        self._stream.write(buffer, CURRENT.get().left_s())

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Return the connection upgraded to TLS."""
        return PunctualStream(self._stream.start_tls(ssl_context, server_hostname, CURRENT.get().left_s()))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - whatever `httpcore` has
        """Return information about the connection."""
        return self._stream.get_extra_info(info)


class PublicBackend(httpcore.NetworkBackend):
    """Connects `httpcore` to public addresses, and to those in `allowed`."""

    def __init__(self, allowed: Iterable[Network] = (), resolve: Resolve = resolve) -> None:
        self._allowed = tuple(allowed)
        self._resolve = resolve
        self._lookups = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="lookup")
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first permitted address of the host that accepts; raises ForbiddenAddressError."""
        permitted = [address for address in self._look_up(host, port) if self._is_permitted(address)]
        if not permitted:
            raise ForbiddenAddressError(f"{host} has no public address")
        failed: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for place, address in enumerate(permitted):
            # No address may use up the time of the next ones.
            share = CURRENT.get().left_s() / (len(permitted) - place)
            try:
                stream = self._backend.connect_tcp(str(address), port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
            else:
                return PunctualStream(stream)
        assert failed is not None
        raise failed

    def _look_up(self, host: str, port: int) -> list[Address]:
        lookup = self._lookups.submit(self._resolve, host, port)
        try:
            found = lookup.result(CURRENT.get().left_s())
        except socket.gaierror as error:
            raise httpcore.ConnectError(f"the name {host} cannot be resolved: {error.strerror}") from error
        except TimeoutError as error:
            lookup.cancel()
            raise httpcore.ConnectError(f"resolving the name {host} takes too long") from error
        return [ip_address(each.partition("%")[0]) for each in found]

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.NetworkStream:
        """Refuse."""
        raise ForbiddenAddressError(f"{path} is a socket of this machine")

    def sleep(self, seconds: float) -> None:
        """Wait, as `httpcore` does between retries."""
        self._backend.sleep(seconds)

    def _is_permitted(self, address: Address) -> bool:
        return is_public(address) or any(address in network for network in self._allowed)


def open_public_pool(
    allowed: Iterable[Network] = (), *, connections: int = 16, resolve: Resolve = resolve
) -> httpcore.ConnectionPool:
    """Return a pool of connections to public addresses, for HTTP and HTTPS, without the environment's proxies.

    Up to `connections` idle ones stay open; a new one is opened immediately when needed.
    """
    return httpcore.ConnectionPool(
        ssl_context=ssl.create_default_context(cafile=certifi.where()),
        max_connections=None,
        max_keepalive_connections=connections,
        keepalive_expiry=30.0,
        network_backend=PublicBackend(allowed, resolve),
    )
