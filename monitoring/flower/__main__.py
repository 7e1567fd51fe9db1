"""`python -m monitoring.flower`: serve Flower until stopped."""

import atexit
import logging
import signal
import sys

from celery.app.utils import find_app
from flower.command import extract_settings, sigterm_handler
from flower.urls import settings
from tornado.ioloop import IOLoop
from tornado.options import options

from monitoring.flower.history import KeptEvents
from monitoring.flower.server import NamedFlower, SecurityHeaders
from storage.data_folder import DataFolderError
from storage.flower_password import read_flower_credentials
from storage.hosts import list_names
from storage.logs import set_up_logging
from storage.settings import read_settings

# Flower keeps tasks and workers in memory; without a limit, a day of bulk work would fill it.
MAX_TASKS = 10_000
MAX_WORKERS = 1_000
OPTIONS = {
    # `args` has chunk, job and size, `result` a summary; workers are named after their devices.
    "tasks_columns": "args,state,result,worker,received,started,runtime,uuid",
    "natural_time": True,
    "purge_offline_workers": 24 * 3600,
}
# Not HttpOnly: the cookie is no session, and the page's own scripts must read it.
XSRF_COOKIE = {"samesite": "Strict"}

log = logging.getLogger(__name__)


def main() -> None:
    """Serve until stopped."""
    # Before Tornado sets up its own coloured logs.
    set_up_logging()
    configured = read_settings()
    for name, value in OPTIONS.items():
        setattr(options, name, value)
    options.address = configured.flower_host
    options.port = configured.flower_port
    options.url_prefix = configured.flower_url_prefix or None
    app = find_app("worker.app")
    try:
        options.basic_auth = [read_flower_credentials(configured)]
        history = KeptEvents(
            configured.data_dir / "flower" / "history.json",
            capp=app,
            io_loop=IOLoop.current(),
            max_tasks=MAX_TASKS,
            max_workers=MAX_WORKERS,
        )
    except DataFolderError as error:
        sys.exit(f"starlight: Flower cannot start: {error}")
    extract_settings()
    flower = NamedFlower(capp=app, options=options, events=history, **{**settings, "xsrf_cookie_kwargs": XSRF_COOKIE})
    flower.names = list_names(configured.flower_host, configured.allowed_hosts)
    flower.add_transform(SecurityHeaders)
    atexit.register(flower.stop)
    signal.signal(signal.SIGTERM, sigterm_handler)
    log.info("Flower listens on %s, port %d", configured.flower_host, flower.start_http_server())
    try:
        flower.start()
    except (KeyboardInterrupt, SystemExit):
        log.info("Flower is stopping")


if __name__ == "__main__":
    main()
