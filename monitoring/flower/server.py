"""Flower's server, which is asked by its own names alone and tells browsers what they need."""

from flower.app import Flower
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest
from tornado.web import ErrorHandler, OutputTransform

from storage.hosts import is_asked_by_name

# Its pages have scripts in them, so no policy of ours says where they may come from.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'none'; object-src 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class SecurityHeaders(OutputTransform):
    """Gives each answer, whoever makes it, the headers that browsers need."""

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Return the answer with them."""
        headers.update(HEADERS)
        return status_code, headers, chunk


# Flower has no types.
class NamedFlower(Flower):  # type: ignore[misc]
    """Flower for those who ask for one of these names."""

    names: tuple[str, ...] = ()

    def find_handler(self, request: HTTPServerRequest, **more: object) -> HTTPMessageDelegate | None:
        """Return what answers the request: 421 where it came by another name."""
        if is_asked_by_name(request.headers.get("Host"), self.names):
            found: HTTPMessageDelegate | None = super().find_handler(request, **more)
            return found
        refusal: HTTPMessageDelegate = self.get_handler_delegate(request, ErrorHandler, {"status_code": 421})
        return refusal
