"""Logging of all programs: one line per record, to standard error, as text for people or JSON for machines.

Modules use `logging.getLogger(__name__)`. Put additional fields into `extra`, and the context of a thread or request
into `structlog.contextvars.bound_contextvars`: `job`, `chunk`, `request`.
"""

import contextvars
import logging
import sys
import threading
import warnings
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Final, Literal, TextIO

from storage.log_repeats import Repeats

Style = Literal["auto", "text", "json"]

# Libraries' messages below these levels are redundant: each task, each request, each start of a component.
LEVELS: Final = {
    "alembic": logging.WARNING,
    "celery.app.trace": logging.WARNING,
    "celery.worker.strategy": logging.WARNING,
    "httpx": logging.WARNING,
    "tornado.access": logging.WARNING,
    "uvicorn.error": logging.WARNING,
}

log = logging.getLogger(__name__)


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines in one style, with these facts in each; messages of `strangers` (loggers) at most once a minute."""

    def __init__(
        self, stream: TextIO | None, style: Style, facts: Mapping[str, object], strangers: Collection[str]
    ) -> None:
        super().__init__(stream)
        is_for_people = style == "text" or (style == "auto" and self.stream is not None and self.stream.isatty())
        self.style: Style = "text" if is_for_people else "json"
        self._facts = facts
        self._repeats = Repeats(strangers)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by indented lines if it has a traceback."""
        if self.formatter is None:
            # Imported here, because structlog takes 10 MiB and 0.1 s, and some processes never log.
            from storage.log_lines import make_formatter

            self.formatter = make_formatter(self.style, self._facts)
        return super().format(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record unless there were too many of its kind, after the reports on suppressed lines."""
        self._tell(self._repeats.end_minutes())
        is_written, forgotten = self._repeats.admit(record)
        self._tell(forgotten)
        if is_written:
            super().emit(record)

    def close(self) -> None:
        """Write the reports on suppressed lines, and close."""
        self._tell(self._repeats.end_all())
        super().close()

    def _tell(self, summaries: Collection[logging.LogRecord]) -> None:
        for each in summaries:
            # Outside the context of this thread's job or request.
            contextvars.Context().run(super().emit, each)


def set_up_logging(
    program: str | None = None,
    *,
    style: Style | None = None,
    stream: TextIO | None = None,
    strangers: Collection[str] = (),
    **facts: object,
) -> None:
    """Start logging as this program (default: the module that Python runs), in a style (default: from the settings).

    `stream` is standard error by default. `strangers` are loggers whose messages are limited to one line a minute,
    because strangers can cause them. Every line contains `facts`.
    """
    handler = LineHandler(stream, style or _read_style(), {"program": program or _find_program(), **facts}, strangers)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name, level in LEVELS.items():
        logging.getLogger(name).setLevel(level)
    # Python's own hook would write several lines, and read the source for it.
    warnings.showwarning = _log_warning
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def find_style() -> Style:
    """Return this process's style, to pass on to programs that it starts."""
    handlers = [each for each in logging.getLogger().handlers if isinstance(each, LineHandler)]
    return handlers[0].style if handlers else _read_style()


def _read_style() -> Style:
    from storage.data_folder import DataFolderError
    from storage.settings import read_settings

    try:
        return read_settings().log
    except (ValueError, DataFolderError):
        # Invalid settings are reported by the next code that reads them.
        return "auto"


def _find_program() -> str:
    spec = sys.modules["__main__"].__spec__
    return "starlight" if spec is None else spec.name.removesuffix(".__main__").rpartition(".")[2]


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    log.warning("%s: %s (%s, line %d)", category.__name__, " ".join(str(message).split()), filename, lineno)


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
    else:
        log.critical("this process ends because of an unexpected error", exc_info=(kind, error, traceback))


def _log_uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is None or issubclass(arguments.exc_type, SystemExit):
        return
    name = arguments.thread.name if arguments.thread else "?"
    log.critical(
        "the thread %r ends because of an unexpected error",
        name,
        exc_info=(arguments.exc_type, arguments.exc_value, arguments.exc_traceback),
    )
