"""Spans that are kept in memory instead of being sent to a collector."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_span_id, format_trace_id

from storage.traces import start_tracing, stop_tracing


class Spans:
    """The finished spans of a block."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def list_all(self) -> tuple[ReadableSpan, ...]:
        """Return the finished spans, in the order in which they ended."""
        return self._exporter.get_finished_spans()

    def find(self, name: str) -> ReadableSpan:
        """Return the only span with this name."""
        (found,) = (span for span in self.list_all() if span.name == name)
        return found

    def list_traces(self) -> set[str]:
        """Return the ids of all traces."""
        return {format_trace_id(span.context.trace_id) for span in self.list_all()}

    def name_parents(self) -> dict[str, set[str]]:
        """Return the names of each span's parents, by the span's name; ids of parents from elsewhere."""
        names = {span.context.span_id: span.name for span in self.list_all()}
        parents: dict[str, set[str]] = {}
        for span in self.list_all():
            parent = "" if span.parent is None else names.get(span.parent.span_id, format_span_id(span.parent.span_id))
            parents.setdefault(span.name, set()).add(parent)
        return parents


@contextmanager
def record_spans() -> Iterator[Spans]:
    """Trace this process within the block."""
    exporter = InMemorySpanExporter()
    start_tracing("tests", SimpleSpanProcessor(exporter))
    try:
        yield Spans(exporter)
    finally:
        stop_tracing()
