"""Images behind URLs of strangers: from public addresses alone, within limits of size, time and redirects."""

import time
from urllib.parse import urljoin, urlsplit

import httpcore

from storage.error_codes import ErrorCode
from storage.public_network import FAILURES, ForbiddenAddressError, Resolve, public_pool, resolve, within
from storage.settings import Settings
from worker.scanning.image_error import ImageError

MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
GONE = (404, 410)
# What may pass: the receiver is busy, or broken for now.
PASSING = (408, 425, 429)
# Identity: what a server packs, nobody unpacks, so that nothing can be larger than what was sent.
HEADERS = [(b"User-Agent", b"starlight"), (b"Accept", b"image/*, */*;q=0.1"), (b"Accept-Encoding", b"identity")]


class Fetcher:
    """Fetches `https://` references, and others of `fetch_schemes`; used by many threads at once."""

    def __init__(self, settings: Settings, resolve: Resolve = resolve) -> None:
        self._schemes = settings.fetch_schemes
        self._timeout_s = settings.fetch_timeout_s
        self._pool = public_pool(settings.fetch_allowed_networks, connections=settings.fetch_threads, resolve=resolve)

    def takes(self, scheme: str) -> bool:
        """Whether references of this scheme are fetched."""
        return scheme in self._schemes

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def fetch(self, url: str, limit: int) -> bytes:
        """Return up to `limit` bytes, and one more where there is more; raises ImageError."""
        deadline = time.monotonic() + self._timeout_s
        try:
            for _ in range(MAX_REDIRECTS + 1):
                answered = self._ask(url, limit, deadline)
                if isinstance(answered, bytes):
                    return answered
                url = urljoin(url, answered)
        except ForbiddenAddressError as error:
            raise ImageError(ErrorCode.FORBIDDEN_ADDRESS, str(error)) from error
        except (httpcore.UnsupportedProtocol, httpcore.LocalProtocolError, UnicodeError, ValueError) as error:
            raise ImageError(ErrorCode.UNSUPPORTED_URI, f"not a URL that can be fetched: {error}") from error
        except FAILURES as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise ImageError(ErrorCode.NOT_READABLE, f"the server's certificate is not valid: {error}") from error
            raise ImageError(ErrorCode.UNAVAILABLE, str(error) or type(error).__name__) from error
        raise ImageError(ErrorCode.NOT_READABLE, f"more than {MAX_REDIRECTS} redirects")

    def _ask(self, url: str, limit: int, deadline: float) -> bytes | str:
        """Return the body, or where to go on."""
        parts = urlsplit(url)
        if parts.scheme not in self._schemes or not parts.hostname:
            raise ImageError(ErrorCode.UNSUPPORTED_URI, f"cannot fetch from {parts.scheme or 'no scheme'}://")
        if parts.username is not None or parts.password is not None:
            raise ImageError(ErrorCode.UNSUPPORTED_URI, "URLs must not carry a user name or password")
        limits = within(max(0.001, deadline - time.monotonic()))
        with self._pool.stream("GET", url.partition("#")[0], headers=HEADERS, extensions=limits) as answer:
            if answer.status in REDIRECTS:
                location = next((value for name, value in answer.headers if name.lower() == b"location"), b"")
                if not location:
                    raise ImageError(ErrorCode.NOT_READABLE, f"the server answered {answer.status} without a target")
                return location.decode("ascii")
            if answer.status != 200:
                raise ImageError(code_of(answer.status), f"the server answered {answer.status}")
            pieces, size = [], 0
            for piece in answer.iter_stream():
                pieces.append(piece)
                size += len(piece)
                if size > limit:
                    break
                if time.monotonic() > deadline:
                    raise httpcore.ReadTimeout(f"more than {self._timeout_s:g} s")
            return b"".join(pieces)[: limit + 1]


def code_of(status: int) -> ErrorCode:
    """Return the error code for an answer that is neither the image nor a redirect."""
    if status in GONE:
        return ErrorCode.NOT_FOUND
    return ErrorCode.UNAVAILABLE if status in PASSING or status >= 500 else ErrorCode.NOT_READABLE
