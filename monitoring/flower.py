"""`python -m monitoring.flower`: Flower, which is asked by its own names alone."""

import atexit
import logging
import signal

from celery.app.utils import find_app
from flower.app import Flower
from flower.command import extract_settings, sigterm_handler
from flower.urls import settings
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest
from tornado.options import options
from tornado.web import ErrorHandler, OutputTransform

from storage.hosts import is_asked_by_name, list_names
from storage.logs import set_up_logging
from storage.settings import read_settings

OPTIONS = {
    # Flower keeps tasks in memory; without a bound, a day of bulk work fills it.
    "max_tasks": 10_000,
    "max_workers": 1_000,
    # Columns of the task list: the chunk's id stands in `args`, what became of it in `result`.
    "tasks_columns": "name,uuid,state,args,result,received,started,runtime,worker",
    "natural_time": True,
}

# Its pages have scripts in them, so no policy of ours says where they may come from.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'none'; object-src 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

# No session, and no secret to scripts of the page itself.
XSRF_COOKIE = {"samesite": "Strict"}

log = logging.getLogger(__name__)


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


def main() -> None:
    """Serve until told to stop."""
    # First: Tornado would log in colours of its own.
    set_up_logging()
    configured = read_settings()
    password = configured.flower_basic_auth
    for name, value in OPTIONS.items():
        setattr(options, name, value)
    options.address = configured.flower_host
    options.port = configured.flower_port
    options.basic_auth = [password.get_secret_value()] if password else []
    extract_settings()
    flower = NamedFlower(
        capp=find_app("worker.app"), options=options, **{**settings, "xsrf_cookie_kwargs": XSRF_COOKIE}
    )
    flower.names = list_names(configured.flower_host, configured.allowed_hosts)
    flower.add_transform(SecurityHeaders)
    atexit.register(flower.stop)
    signal.signal(signal.SIGTERM, sigterm_handler)
    log.info("Flower listens on %s, port %d", configured.flower_host, flower.start_http_server())
    try:
        flower.start()
    except (KeyboardInterrupt, SystemExit):
        log.info("Flower ends")


if __name__ == "__main__":
    main()
