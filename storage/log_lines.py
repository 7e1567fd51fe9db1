"""Records as lines, by structlog: text from outside can neither begin one nor steer whoever reads it."""

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

# Whose `extra` is told; libraries have other uses for it.
OURS: Final = ("storage", "worker", "producer", "monitoring", "__main__")
# What a line is about, in this order, before what else it tells.
CONTEXT: Final = ("job", "chunk", "device", "request", "trace_id")
# Told as they are.
PLAIN: Final = (int, float, type(None))

_add_extra = ExtraAdder()
_render_context = LogfmtRenderer(key_order=CONTEXT, drop_missing=True)


def make_formatter(style: str, facts: Mapping[str, object]) -> logging.Formatter:
    """Return what makes lines of records, as `text` or `json`; the facts stand in each."""

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
    """Return what is told with all text escaped; lines of a traceback stay lines, and are indented."""
    exception = event.pop("exception", None)
    escaped = {name: value if isinstance(value, PLAIN) else escape(str(value)) for name, value in event.items()}
    return escaped if exception is None else escaped | {"exception": escape_lines(exception)}


def render_text(logger: WrappedLogger, method: str, event: EventDict) -> str:
    """Return the line for people: time, level, program, what happened, and what it is about."""
    del event["logger"]
    line = f"{event.pop('time')} {event.pop('level')} {event.pop('program')}: {event.pop('event')}"
    exception = event.pop("exception", None)
    context = _render_context(logger, method, event)
    return "\n".join(filter(None, [f"{line}  {context}".rstrip(), exception]))
