"""Serving metrics to those who ask by a name of ours."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, make_wsgi_app, start_http_server

from storage.hosts import is_asked_by_name, list_names_if_known
from storage.settings import Settings

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# What every answer has: figures are for no browser.
HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)


def check_name(app: "WSGIApplication", names: Sequence[str]) -> "WSGIApplication":
    """Return the application with headers for browsers, which answers 421 to who asks by none of these names."""

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:  # noqa: ANN401 - as it is passed on
            return start_response(status, [*headers, *HEADERS], *more)

        if is_asked_by_name(environ.get("HTTP_HOST"), names):
            return app(environ, start)
        start_response("421 Misdirected Request", [("Content-Type", "text/plain; charset=utf-8"), *HEADERS])
        return [b"this is not the name of this server: STARLIGHT_ALLOWED_HOSTS may allow it\n"]

    return answer


def serve_metrics(registry: CollectorRegistry, settings: Settings, port: int) -> None:
    """Serve `/metrics` in threads of their own for as long as this process lives; raises OSError where it cannot."""
    names = list_names_if_known(settings.exporter_host, settings.allowed_hosts)
    server, _ = start_http_server(port, settings.exporter_host, registry)
    server.set_app(check_name(make_wsgi_app(registry), names))
