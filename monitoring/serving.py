"""Metrics for those who ask by a name of ours."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from storage.hosts import is_asked_by_name

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def check_name(app: "WSGIApplication", names: Sequence[str]) -> "WSGIApplication":
    """Return the application, which answers 421 to who asks by none of these names."""

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if is_asked_by_name(environ.get("HTTP_HOST"), names):
            return app(environ, start_response)
        start_response("421 Misdirected Request", [("Content-Type", "text/plain")])
        return [b"this is not the name of this server: STARLIGHT_ALLOWED_HOSTS may allow it\n"]

    return answer
