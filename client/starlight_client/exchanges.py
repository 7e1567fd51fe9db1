"""Requests as generators that do no input or output: they yield what is to be done, and are sent what came of it.

An exchange yields steps and returns one answer. A flow yields steps too, and between them whatever it finds. Whoever
drives one does each step and sends its result back: trying again is written here once, for drivers that block and for
those that await.
"""

import random
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final, TypeAlias, TypeVar

import httpx
from httpx_sse import ServerSentEvent

from starlight_client.errors import RefusedError

T = TypeVar("T")

TRIES: Final = 6
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S: Final = 30.0
# What need not happen to the same request again.
LOST: Final = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError)
# Answers that say that the same request may be taken later.
PASSING: Final = {408, 429, 502, 503}
# Longer than the API waits between two events.
TIMEOUT: Final = httpx.Timeout(60.0, connect=10.0)


@dataclass(frozen=True, slots=True)
class Request:
    """Send this, whose `content` starts at its beginning every time; the result is the response, wholly read."""

    method: str
    url: str
    params: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | IO[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask for this and write the answer into the file, from its beginning; the result is the response.

    A refusal is wholly read instead.
    """

    url: str
    file: IO[bytes]


@dataclass(frozen=True, slots=True)
class OpenEvents:
    """Open this stream of events, and close the one before; the result is the response, wholly read if a refusal."""

    url: str
    last_event_id: str

    @property
    def headers(self) -> dict[str, str]:
        """The headers that have the stream go on behind the last event."""
        return {"Last-Event-ID": self.last_event_id} if self.last_event_id else {}


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """Read the open stream; the result is its next event, None where it has ended."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for so long; there is no result."""

    seconds: float


Step: TypeAlias = Request | Fetch | OpenEvents | ReadEvent | Pause
# Errors among LOST are results too.
Result: TypeAlias = httpx.Response | ServerSentEvent | httpx.TransportError | None
Exchange: TypeAlias = Generator[Step, Any, T]
Flow: TypeAlias = Generator[Step | T, Any, None]


def resume(flow: Flow[T], result: Result) -> Step | T | None:
    """Return the flow's next step, or what it has found, or None at its end."""
    try:
        return flow.send(result)
    except StopIteration:
        return None


def find_answer(exchange: Exchange[T]) -> Flow[T]:
    """Find the one answer of an exchange."""
    yield (yield from exchange)


class Backoff:
    """How long to wait before the next try, by how often it has failed in a row."""

    def __init__(self) -> None:
        self._failures = 0

    def reset(self) -> None:
        """Begin anew, after a success."""
        self._failures = 0

    def pause_after(self, failure: httpx.Response | httpx.TransportError) -> Pause:
        """Return the pause before the next try; raises what has failed where it was the last, or none would help."""
        self._failures += 1
        last = self._failures >= TRIES
        if isinstance(failure, httpx.TransportError):
            if last:
                raise failure
        elif last or failure.status_code not in PASSING:
            raise make_refusal(failure)
        elif (wanted := failure.headers.get("retry-after", "")).isdecimal():
            return Pause(min(float(wanted), LONGEST_PAUSE_S))
        # Doubled each time, and spread so that clients do not come back together.
        longest = min(FIRST_PAUSE_S * 2.0 ** (self._failures - 1), LONGEST_PAUSE_S)
        return Pause(longest * random.uniform(0.5, 1))  # noqa: S311 - no secret


def send(request: Request | Fetch | OpenEvents, backoff: Backoff) -> Exchange[httpx.Response]:
    """Return the response, a success, trying again while that may help; raises RefusedError or one of LOST."""
    while True:
        result = yield request
        if isinstance(result, httpx.Response) and result.is_success:
            return result
        yield backoff.pause_after(result)


def make_refusal(response: httpx.Response) -> RefusedError:
    """Return the error that says what this response, wholly read, does."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        # Of a proxy, say.
        problem = {"title": response.reason_phrase, "detail": response.text[:1000]}
    return RefusedError(response.status_code, problem)


def connection_options(url: str, key: str) -> dict[str, Any]:
    """Return how both of httpx's clients are made for the API at this address."""
    return {"base_url": url, "headers": {"Authorization": f"Bearer {to_header('key', key)}"}, "timeout": TIMEOUT}


def to_header(what: str, text: str) -> str:
    """Return the text; raises httpx.LocalProtocolError where no header can hold it."""
    if text.isascii() and text.isprintable():
        return text
    raise httpx.LocalProtocolError(f"the {what} is sent in a header: it must be printable ASCII")
