"""Limits of connections to the API: their number, and the time to send a head and to read a response."""

import asyncio
import ipaddress
import logging
from collections import Counter
from typing import Any, Final, Protocol

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from producer.api.security import HEADERS

# Length of an IPv6 prefix that counts as one address: providers give each customer such a network.
NETWORK_BITS: Final = 64
REASON: Final = b"there are too many connections; try again later\n"
# Clients must read so much of a response within each time limit.
PIECE_BYTES: Final = 64 * 2**10
# Headers of responses that do not come from the application.
PLAIN: Final = {b"content-type": b"text/plain; charset=utf-8", b"connection": b"close", **HEADERS}
BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n%scontent-length: %d\r\n\r\n%s" % (
    b"".join(b"%s: %s\r\n" % header for header in PLAIN.items()),
    len(REASON),
    REASON,
)

log = logging.getLogger(__name__)


class Closable(Protocol):
    """A connection that can be closed."""

    def end(self) -> None:
        """Close the connection immediately."""


class Connections:
    """The open connections: at most `most` in total, and `most_of_one` per origin.

    When a limit is reached, the connection that has waited longest for the head of a request is closed for the new one,
    so clients that send their head at once are unlikely to be closed. Connections that are being answered are kept.
    """

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._origins: dict[Closable, str] = {}
        self._counts: Counter[str] = Counter()
        # Ordered by when they began to wait.
        self._waiting: dict[Closable, None] = {}

    def admit(self, connection: Closable, origin: str) -> bool:
        """Count a new connection, which waits for a head; False if a limit is reached and none can be closed for it."""
        if self._counts[origin] >= self._most_of_one and not self._make_room(origin):
            log.warning("a connection is refused: its address has reached the limit of %d", self._most_of_one)
            return False
        if len(self._origins) >= self._most and not self._make_room():
            log.warning("a connection is refused: the limit of %d connections is reached", self._most)
            return False
        self._origins[connection] = origin
        self._counts[origin] += 1
        self.note_waiting(connection)
        return True

    def note_waiting(self, connection: Closable) -> None:
        """Note that a connection now waits for the head of a request."""
        if connection in self._origins:
            self._waiting[connection] = None

    def note_answering(self, connection: Closable) -> None:
        """Note that the request of a connection is being answered."""
        self._waiting.pop(connection, None)

    def forget(self, connection: Closable) -> None:
        """Stop counting a connection; does nothing if it is not counted."""
        self._waiting.pop(connection, None)
        origin = self._origins.pop(connection, None)
        if origin is not None:
            self._counts[origin] -= 1
            if not self._counts[origin]:
                del self._counts[origin]

    def _make_room(self, origin: str | None = None) -> bool:
        first = next((each for each in self._waiting if origin in (None, self._origins[each])), None)
        if first is None:
            return False
        log.warning("a connection that waits for a request is closed for a new one: the limit is reached")
        self.forget(first)
        first.end()
        return True


class BoundedProtocol(H11Protocol):
    """Uvicorn's protocol for one connection, which is counted and has time limits.

    The head of a request must be complete within `head_s` seconds after the connection was opened, or after the last
    response was sent; the rest of an unread body falls into the same time. `PIECE_BYTES` of a response must be read
    within `transfer_s` seconds.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - the arguments of H11Protocol
        connections: Connections,
        head_s: float,
        transfer_s: float,
        **more: Any,  # noqa: ANN401 - the same
    ) -> None:
        super().__init__(*arguments, **more)
        self._counted = connections
        self._head_s = head_s
        self._transfer_s = transfer_s
        self._head_timer: asyncio.TimerHandle | None = None
        self._reading_timer: asyncio.TimerHandle | None = None

    # Uvicorn's own method narrows the type in the same way.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit the connection, or answer 503 and close it."""
        super().connection_made(transport)
        # So that `pause_writing` is called as soon as a write does not fit into the socket's buffer.
        transport.set_write_buffer_limits(high=0)
        if self._counted.admit(self, find_origin(self.client[0] if self.client else "")):
            self._head_timer = self.loop.call_later(self._head_s, self._end_slow)
        else:
            transport.write(BUSY)
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Handle received data."""
        super().data_received(data)
        self._note_turn()

    def send_400_response(self, msg: str) -> None:
        """Answer a malformed request."""
        for event in (
            h11.Response(status_code=400, headers=[*PLAIN.items()]),
            h11.Data(msg.encode()),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def on_response_complete(self) -> None:
        """Wait for the next request, or answer it if it was already received."""
        super().on_response_complete()
        self._note_turn()

    def pause_writing(self) -> None:
        """Start the time limit for reading the response."""
        super().pause_writing()
        self._await_reading()

    def resume_writing(self) -> None:
        """Stop the time limit for reading, and continue."""
        super().resume_writing()
        self._stop_reading_timer()
        self._note_turn()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection, and stop its timers."""
        self._counted.forget(self)
        self._stop_head_timer()
        self._stop_reading_timer()
        super().connection_lost(exc)

    def end(self) -> None:
        """Close the connection immediately, and drop unsent data."""
        self.transport.abort()

    def _note_turn(self) -> None:
        if self.flow.write_paused or (self.cycle is not None and not self.cycle.response_complete):
            self._counted.note_answering(self)
            self._stop_head_timer()
        elif self._head_timer is None and not self.transport.is_closing():
            self._counted.note_waiting(self)
            self._head_timer = self.loop.call_later(self._head_s, self._end_slow)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _await_reading(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        self._reading_timer = self.loop.call_later(self._transfer_s, self._end_unread, unsent)

    def _stop_reading_timer(self) -> None:
        if self._reading_timer is not None:
            self._reading_timer.cancel()
            self._reading_timer = None

    def _end_unread(self, unsent: int) -> None:
        if unsent - self.transport.get_write_buffer_size() >= PIECE_BYTES:
            self._await_reading()
            return
        log.warning("a connection is closed: its response was not read within %.0f s", self._transfer_s)
        self.end()

    def _end_slow(self) -> None:
        # Not logged if nothing was sent: browsers open spare connections.
        if self.conn.trailing_data[0]:
            log.warning("a connection is closed: the head of its request was incomplete after %.0f s", self._head_s)
        self.end()


def find_origin(host: str) -> str:
    """Return the origin that an address is counted under: an IPv4 address, an IPv6 network, or other text unchanged."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), NETWORK_BITS), strict=False))
