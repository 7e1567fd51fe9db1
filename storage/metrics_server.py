"""Serves metrics to requests with an accepted host name."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, make_wsgi_app, start_http_server

from storage.hosts import is_asked_by_name, list_names_if_known
from storage.settings import Settings

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# Headers of every response: metrics are not for browsers.
HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)


def check_name(app: "WSGIApplication", names: Sequence[str]) -> "WSGIApplication":
    """Return the application with security headers, and with 421 for requests with another host name."""

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:  # noqa: ANN401 - as it is passed on
            return start_response(status, [*headers, *HEADERS], *more)

        if is_asked_by_name(environ.get("HTTP_HOST"), names):
            return app(environ, start)
        start_response("421 Misdirected Request", [("Content-Type", "text/plain; charset=utf-8"), *HEADERS])
        return [b"this is not the name of this server: STARLIGHT_ALLOWED_HOSTS may allow it\n"]

    return answer


def serve_metrics(registry: CollectorRegistry, settings: Settings, port: int) -> None:
    """Serve `/metrics` in background threads until the process ends; raises OSError if the port is not available."""
    names = list_names_if_known(settings.exporter_host, settings.allowed_hosts)
    server, _ = start_http_server(port, settings.exporter_host, registry)
    server.set_app(check_name(make_wsgi_app(registry), names))
