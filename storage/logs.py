"""How every program logs: one line for each record, to standard error, as text for people or JSON for machines.

Modules log by `logging.getLogger(__name__)`. What more there is to tell goes into `extra`, and what a thread or request
is about into `structlog.contextvars.bound_contextvars`: `job`, `chunk`, `request`.
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

# Of what libraries log, the rest is told otherwise or to nobody: each task, each request, each start of a part.
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
    """Writes lines in one style, with these facts in each; messages of `strangers`, loggers, come once a minute."""

    def __init__(
        self, stream: TextIO | None, style: Style, facts: Mapping[str, object], strangers: Collection[str]
    ) -> None:
        super().__init__(stream)
        is_for_people = style == "text" or (style == "auto" and self.stream is not None and self.stream.isatty())
        self.style: Style = "text" if is_for_people else "json"
        self._facts = facts
        self._repeats = Repeats(strangers)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and indented ones below it where it tells of an exception."""
        if self.formatter is None:
            # Here, not above: structlog takes 10 MiB and 0.1 s, also in processes that may never log.
            from storage.log_lines import make_formatter

            self.formatter = make_formatter(self.style, self._facts)
        return super().format(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless there were too many of its kind, and before it how many those were."""
        self._tell(self._repeats.end_minutes())
        is_written, forgotten = self._repeats.admit(record)
        self._tell(forgotten)
        if is_written:
            super().emit(record)

    def close(self) -> None:
        """Write what is still held back, and end."""
        self._tell(self._repeats.end_all())
        super().close()

    def _tell(self, summaries: Collection[logging.LogRecord]) -> None:
        for each in summaries:
            # Of no job or request that this thread is about.
            contextvars.Context().run(super().emit, each)


def set_up_logging(
    program: str | None = None,
    *,
    style: Style | None = None,
    stream: TextIO | None = None,
    strangers: Collection[str] = (),
    **facts: object,
) -> None:
    """Log from now on as this program, or as what Python runs, in a style, else that of the settings.

    `stream` is standard error unless told otherwise. `strangers` are loggers whose messages come once a minute at
    most, because strangers decide how often there is cause. `facts` stand in every line.
    """
    handler = LineHandler(stream, style or _read_style(), {"program": program or _find_program(), **facts}, strangers)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name, level in LEVELS.items():
        logging.getLogger(name).setLevel(level)
    # The standard library's own would write more than a line, and read the source for it.
    warnings.showwarning = _log_warning
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def find_style() -> Style:
    """Return the style in which this process logs, for those that it starts."""
    handlers = [each for each in logging.getLogger().handlers if isinstance(each, LineHandler)]
    return handlers[0].style if handlers else _read_style()


def _read_style() -> Style:
    from storage.data_folder import DataFolderError
    from storage.settings import read_settings

    try:
        return read_settings().log
    except (ValueError, DataFolderError):
        # Whoever reads the settings next says what is wrong with them.
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
        log.critical("this process ends by an error that nobody expected", exc_info=(kind, error, traceback))


def _log_uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is None or issubclass(arguments.exc_type, SystemExit):
        return
    name = arguments.thread.name if arguments.thread else "?"
    log.critical(
        "the thread %r ends by an error that nobody expected",
        name,
        exc_info=(arguments.exc_type, arguments.exc_value, arguments.exc_traceback),
    )
