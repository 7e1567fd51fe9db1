"""Flower's server, which answers only requests for its own host names, and sets security headers."""

from flower.app import Flower
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest
from tornado.web import ErrorHandler, OutputTransform

from storage.hosts import is_asked_by_name

# The policy does not restrict scripts, since Flower's pages contain inline ones.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'none'; object-src 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class SecurityHeaders(OutputTransform):
    """Adds security headers to every response."""

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Return the response with the headers."""
        headers.update(HEADERS)
        return status_code, headers, chunk


# Flower has no types.
class NamedFlower(Flower):  # type: ignore[misc]
    """Flower, restricted to requests for one of these host names."""

    names: tuple[str, ...] = ()

    def find_handler(self, request: HTTPServerRequest, **more: object) -> HTTPMessageDelegate | None:
        """Return the handler of a request; for another host name, one that answers 421."""
        if is_asked_by_name(request.headers.get("Host"), self.names):
            found: HTTPMessageDelegate | None = super().find_handler(request, **more)
            return found
        refusal: HTTPMessageDelegate = self.get_handler_delegate(request, ErrorHandler, {"status_code": 421})
        return refusal
