"""Log records as lines, by structlog: text from outside can neither start a line nor control a terminal."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from structlog.contextvars import merge_contextvars
from structlog.processors import JSONRenderer, LogfmtRenderer, format_exc_info
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from starlight_vocabulary.escaping import escape, escape_lines
from storage.traces import find_trace_id

# Only the `extra` of these loggers is logged; libraries use theirs for other things.
OURS: Final = ("storage", "worker", "producer", "monitoring", "__main__")
# The context keys that come first, in this order.
CONTEXT: Final = ("job", "chunk", "device", "request", "trace_id")
# Values that are not escaped.
PLAIN: Final = (int, float, type(None))

_add_extra = ExtraAdder()
_render_context = LogfmtRenderer(key_order=CONTEXT, drop_missing=True)


def make_formatter(style: str, facts: Mapping[str, object]) -> logging.Formatter:
    """Return the processors that format records as `text` or `json`; each line contains the facts."""

    def add_facts(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        record: logging.LogRecord = event["_record"]
        told = _add_extra(logger, method, event) if record.name.partition(".")[0] in OURS else event
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        trace_id = find_trace_id()
        traced = {} if trace_id is None else {"trace_id": trace_id}
        return {"time": at, "level": record.levelname, **facts, **traced, "logger": record.name, **told}

    processors: list[Processor] = [
        merge_contextvars,
        add_facts,
        ProcessorFormatter.remove_processors_meta,
        format_exc_info,
        escape_event,
        render_text if style == "text" else JSONRenderer(),
    ]
    return ProcessorFormatter(processors=processors)


def escape_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Return the fields with all text escaped; lines of a traceback stay lines, and are indented."""
    exception = event.pop("exception", None)
    escaped = {name: value if isinstance(value, PLAIN) else escape(str(value)) for name, value in event.items()}
    return escaped if exception is None else escaped | {"exception": escape_lines(exception)}


def render_text(logger: WrappedLogger, method: str, event: EventDict) -> str:
    """Return the line for people: time, level, program, event, and its context."""
    del event["logger"]
    line = f"{event.pop('time')} {event.pop('level')} {event.pop('program')}: {event.pop('event')}"
    exception = event.pop("exception", None)
    context = _render_context(logger, method, event)
    return "\n".join(filter(None, [f"{line}  {context}".rstrip(), exception]))
