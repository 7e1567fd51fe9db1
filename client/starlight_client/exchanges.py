"""Requests as generators without I/O: they yield steps, and receive the results of these.

An exchange yields steps and returns one answer. A flow yields steps, and between them the items that it finds. A driver
performs each step and sends its result back. So the retry logic is written once, for the synchronous and the
asynchronous client.
"""

import logging
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
# A server that asks for a longer time would refuse every try.
LONGEST_WAIT_S: Final = (TRIES - 1) * LONGEST_PAUSE_S
# Errors after which a request is retried.
LOST: Final = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError)
# Statuses after which a request is retried.
TEMPORARY: Final = {408, 429, 502, 503}
# The read timeout is longer than the API's longest pause between two events.
TIMEOUT: Final = httpx.Timeout(60.0, connect=10.0)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """Send this request, with `content` from its start at each try; the result is the response, read completely."""

    method: str
    url: str
    params: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | IO[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Fetch:
    """Get this URL and write the body into the file, from its start; the result is the response.

    If the request is refused, the response is read completely instead.
    """

    url: str
    file: IO[bytes]


@dataclass(frozen=True, slots=True)
class OpenEvents:
    """Open this stream of events and close the previous one; the result is the response, read completely if refused."""

    url: str
    last_event_id: str

    @property
    def headers(self) -> dict[str, str]:
        """The headers that make the stream resume after the last event."""
        return {"Last-Event-ID": self.last_event_id} if self.last_event_id else {}


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """Read the open stream; the result is its next event, None at its end."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for this many seconds; there is no result."""

    seconds: float


Step: TypeAlias = Request | Fetch | OpenEvents | ReadEvent | Pause
# Errors in LOST are results too.
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
    """Exponential backoff, by the number of failures in a row."""

    def __init__(self) -> None:
        self._failures = 0

    def reset(self) -> None:
        """Start again, after a success."""
        self._failures = 0

    def pause_after(self, failure: httpx.Response | httpx.TransportError) -> Pause:
        """Return the pause before the next try, and log it with the failure.

        Raises the failure after the last try, or if a retry cannot help.
        """
        self._failures += 1
        # Jitter, so that clients do not retry at the same time.
        longest = min(FIRST_PAUSE_S * 2.0 ** (self._failures - 1), LONGEST_PAUSE_S)
        seconds = longest * random.uniform(0.5, 1)  # noqa: S311 - no secret
        reason: Exception
        if isinstance(failure, httpx.TransportError):
            reason, can_help = failure, True
        else:
            reason, can_help = make_refusal(failure), failure.status_code in TEMPORARY
            if (wanted := failure.headers.get("retry-after", "")).isdecimal():
                can_help = can_help and float(wanted) <= LONGEST_WAIT_S
                seconds = min(float(wanted), LONGEST_PAUSE_S)
        if self._failures >= TRIES or not can_help:
            raise reason
        # A proxy's answer may be a whole page.
        told = (str(reason).splitlines() or [type(reason).__name__])[0]
        log.warning("the request failed (%s): try %d of %d in %.1f s", told, self._failures + 1, TRIES, seconds)
        return Pause(seconds)


def send(request: Request | Fetch | OpenEvents, backoff: Backoff) -> Exchange[httpx.Response]:
    """Return a successful response, with retries; raises RefusedError or one of LOST."""
    while True:
        result = yield request
        if isinstance(result, httpx.Response) and result.is_success:
            return result
        yield backoff.pause_after(result)


def make_refusal(response: httpx.Response) -> RefusedError:
    """Return the error for this response, which must have been read."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"title": response.reason_phrase, "detail": _describe_foreign(response)}
    return RefusedError(response.status_code, problem)


def _describe_foreign(response: httpx.Response) -> str:
    """Return the text of an answer of another program, which may be a proxy; pages for browsers are not text."""
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in ("", "text/plain"):
        return response.text[:1000].strip()
    return f"the answer is {media_type}, and not from a Starlight API: is this its address, without a path?"


def connection_options(url: str, key: str) -> dict[str, Any]:
    """Return the arguments of httpx's clients for the API at this address; raises httpx.UnsupportedProtocol."""
    try:
        parsed = httpx.URL(url)
        is_address = parsed.scheme in ("http", "https") and bool(parsed.host)
    except httpx.InvalidURL:
        is_address = False
    if not is_address:
        raise httpx.UnsupportedProtocol(f"{url!r} is not the address of an API, such as http://127.0.0.1:8080")
    return {"base_url": url, "headers": {"Authorization": f"Bearer {to_header('key', key)}"}, "timeout": TIMEOUT}


def to_header(what: str, text: str) -> str:
    """Return the text; raises httpx.LocalProtocolError if a header cannot contain it."""
    if text and text.isascii() and text.isprintable() and text == text.strip():
        return text
    raise httpx.LocalProtocolError(
        f"the {what} is sent in a header: it must be printable ASCII, not empty, and without spaces around it"
    )
