"""Fetches images from untrusted URLs: only from public addresses, with limits on size, time and redirects."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urljoin, urlsplit

import httpcore

from starlight_vocabulary.words import ErrorCode
from storage.deadline import Deadline
from storage.public_network import (
    CONNECTION_ERRORS,
    ForbiddenAddressError,
    Resolve,
    explain_failure,
    open_public_pool,
    resolve,
)
from storage.settings import Settings
from worker.scanning.content import Content, ContentReader
from worker.scanning.image_error import ImageError

MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
GONE = (404, 410)
# Statuses after which a retry may succeed.
BUSY = (408, 425, 429)
# Each piece of a body costs as much time as many bytes do. The first `FREE_PIECES` may have any size; further ones must
# have at least `MIN_PIECE_BYTES` on average.
FREE_PIECES = 10_000
MIN_PIECE_BYTES = 256
# `identity`: no body is decompressed, so none can be larger than what was sent.
HEADERS = [(b"User-Agent", b"starlight"), (b"Accept", b"image/*, */*;q=0.1"), (b"Accept-Encoding", b"identity")]


class Fetcher:
    """Fetches `https://` references, and others of `fetch_schemes`. Thread-safe."""

    def __init__(self, settings: Settings, resolve: Resolve = resolve) -> None:
        self._schemes = settings.fetch_schemes
        self._timeout_s = settings.fetch_timeout_s
        self._pool = open_public_pool(
            settings.fetch_allowed_networks, connections=settings.fetch_threads, resolve=resolve
        )

    def can_fetch(self, scheme: str) -> bool:
        """Whether references of this scheme are fetched."""
        return scheme in self._schemes

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def fetch(self, url: str, reader: ContentReader, is_given_up: Callable[[], bool] = lambda: False) -> Content:
        """Return the reader's result for the body; raises what the reader raises, and ImageError."""
        deadline = Deadline(self._timeout_s, is_given_up)
        try:
            for _ in range(MAX_REDIRECTS + 1):
                answer = self._request(url, reader, deadline)
                if isinstance(answer, Content):
                    return answer
                url = urljoin(url, answer)
        except ForbiddenAddressError as error:
            raise ImageError(ErrorCode.FORBIDDEN_ADDRESS, str(error)) from error
        except (httpcore.UnsupportedProtocol, httpcore.LocalProtocolError, UnicodeError, ValueError) as error:
            raise ImageError(ErrorCode.UNSUPPORTED_URI, f"not a URL that can be fetched: {error}") from error
        except httpcore.TimeoutException as error:
            raise ImageError(
                ErrorCode.UNAVAILABLE, f"the server did not answer within {self._timeout_s:g} s"
            ) from error
        except CONNECTION_ERRORS as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise ImageError(ErrorCode.NOT_READABLE, f"the server's certificate is not valid: {error}") from error
            raise ImageError(ErrorCode.UNAVAILABLE, explain_failure(error)) from error
        raise ImageError(ErrorCode.NOT_READABLE, f"more than {MAX_REDIRECTS} redirects")

    def _request(self, url: str, reader: ContentReader, deadline: Deadline) -> Content | str:
        """Return the body, or the target of a redirect."""
        if not url.isascii():
            reason = "a URL is written in ASCII: other characters as %XX, names of hosts as xn--…"
            raise ImageError(ErrorCode.UNSUPPORTED_URI, reason)
        parts = urlsplit(url)
        if parts.scheme not in self._schemes or not parts.hostname:
            raise ImageError(ErrorCode.UNSUPPORTED_URI, f"cannot fetch from {parts.scheme or 'no scheme'}://")
        if parts.username is not None or parts.password is not None:
            raise ImageError(ErrorCode.UNSUPPORTED_URI, "URLs must not carry a user name or password")
        with ExitStack() as stack:
            with deadline, deadline.awaiting_head():
                answer = stack.enter_context(self._pool.stream("GET", url.partition("#")[0], headers=HEADERS))
            if answer.status in REDIRECTS:
                location = find_header(answer, b"location")
                if not location:
                    raise ImageError(ErrorCode.NOT_READABLE, f"the server answered {answer.status} without a target")
                return location.decode("ascii")
            if answer.status != 200:
                raise ImageError(choose_code(answer.status), f"the server answered {answer.status}")
            announced = find_header(answer, b"content-length")
            pieces = read_within(deadline, answer.iter_stream())
            return reader.read(pieces, int(announced) if announced.isdigit() else None)


def read_within(deadline: Deadline, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the pieces; the deadline does not run while the caller processes one. Raises ImageError for tiny pieces."""
    allowed = float(FREE_PIECES)
    while allowed > 0:
        with deadline:
            piece = next(pieces, None)
        if piece is None:
            return
        allowed += len(piece) / MIN_PIECE_BYTES - 1
        yield piece
    raise ImageError(ErrorCode.NOT_READABLE, "the server sends the image in very small pieces")


def find_header(answer: httpcore.Response, name: bytes) -> bytes:
    """Return the value of the first header of this name, empty without one."""
    return next((value for header, value in answer.headers if header.lower() == name), b"")


def choose_code(status: int) -> ErrorCode:
    """Return the error code for an answer that is neither the image nor a redirect."""
    if status in GONE:
        return ErrorCode.NOT_FOUND
    return ErrorCode.UNAVAILABLE if status in BUSY or status >= 500 else ErrorCode.NOT_READABLE
