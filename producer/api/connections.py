"""Connections to the API: how many there may be, and how long one may wait for a head, or for its answer to be read."""

import asyncio
import ipaddress
import logging
from collections import Counter
from typing import Any, Final, Protocol

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from producer.api.security import HEADERS

# Of IPv6, in bits: what one customer of a provider has.
NETWORK_BITS: Final = 64
REASON: Final = b"there are too many connections; try again later\n"
# Of an answer, in bytes: what must be read within each time limit.
PIECE_BYTES: Final = 64 * 2**10
# Of answers that no application gives.
PLAIN: Final = {b"content-type": b"text/plain; charset=utf-8", b"connection": b"close", **HEADERS}
BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n%scontent-length: %d\r\n\r\n%s" % (
    b"".join(b"%s: %s\r\n" % header for header in PLAIN.items()),
    len(REASON),
    REASON,
)

log = logging.getLogger(__name__)


class Closable(Protocol):
    """A connection that can make room for another."""

    def end(self) -> None:
        """Close it now."""


class Connections:
    """The open connections: at most `most` in all, and `most_of_one` of one origin.

    Where there are as many, the one that has waited longest for the head of its request makes room: who sends his head
    at once never waits long. Those whose request is being answered stay.
    """

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._origins: dict[Closable, str] = {}
        self._counts: Counter[str] = Counter()
        # In the order in which they began to wait.
        self._waiting: dict[Closable, None] = {}

    def admit(self, connection: Closable, origin: str) -> bool:
        """Count a new connection, which waits; False where nothing makes room for it."""
        if self._counts[origin] >= self._most_of_one and not self._make_room(origin):
            log.warning("a connection is refused: its address has %d, as many as one may have", self._most_of_one)
            return False
        if len(self._origins) >= self._most and not self._make_room():
            log.warning("a connection is refused: there are %d, as many as there may be", self._most)
            return False
        self._origins[connection] = origin
        self._counts[origin] += 1
        self.note_waiting(connection)
        return True

    def note_waiting(self, connection: Closable) -> None:
        """Say that a connection waits for the head of a request, from now on."""
        if connection in self._origins:
            self._waiting[connection] = None

    def note_answering(self, connection: Closable) -> None:
        """Say that a connection's request is being answered."""
        self._waiting.pop(connection, None)

    def forget(self, connection: Closable) -> None:
        """Count a connection no more; nothing happens where it is not counted."""
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
        log.warning("a connection that waits for a request is closed for another: there are as many as there may be")
        self.forget(first)
        first.end()
        return True


class BoundedProtocol(H11Protocol):
    """Uvicorn's protocol for one connection, which is counted, and has `head_s` seconds for each head of a request.

    They begin with the connection, and again once an answer is sent: what is left of a body then counts as well. Of an
    answer, a piece must be read within `transfer_s` seconds.
    """

    # What uvicorn gives to its own protocol is passed on as it comes.
    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - what uvicorn gives its protocols
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

    # Uvicorn's has the narrower type too, and the same exception.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or say that there is no room."""
        super().connection_made(transport)
        # `pause_writing` once there is anything to be sent that the system does not take, `resume_writing` when it has.
        transport.set_write_buffer_limits(high=0)
        if self._counted.admit(self, find_origin(self.client[0] if self.client else "")):
            self._head_timer = self.loop.call_later(self._head_s, self._end_slow)
        else:
            transport.write(BUSY)
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Read on."""
        super().data_received(data)
        self._note_turn()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request."""
        for event in (
            h11.Response(status_code=400, headers=[*PLAIN.items()]),
            h11.Data(msg.encode()),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def on_response_complete(self) -> None:
        """Wait for the next request, or answer it if it is there."""
        super().on_response_complete()
        self._note_turn()

    def pause_writing(self) -> None:
        """Wait until what was answered is read."""
        super().pause_writing()
        self._await_reading()

    def resume_writing(self) -> None:
        """Answer on, or wait for the next request."""
        super().resume_writing()
        self._stop_reading_timer()
        self._note_turn()

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room."""
        self._counted.forget(self)
        self._stop_head_timer()
        self._stop_reading_timer()
        super().connection_lost(exc)

    def end(self) -> None:
        """Close the connection now, whatever is still to be sent."""
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
        log.warning("a connection is closed: in %.0f s its answer was not read", self._transfer_s)
        self.end()

    def _end_slow(self) -> None:
        # Browsers open connections that they may never use.
        if self.conn.trailing_data[0]:
            log.warning("a connection is closed: in %.0f s it sent no whole head of a request", self._head_s)
        self.end()


def find_origin(host: str) -> str:
    """Return what an address counts as: itself, or its network where it is of IPv6; other text as it is."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), NETWORK_BITS), strict=False))
