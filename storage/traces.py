"""Traces: what becomes of a submission, from process to process, as spans of OpenTelemetry.

They are off unless the environment names a collector by OpenTelemetry's own variables, and the extra `traces` is
installed; before that nothing of OpenTelemetry is imported here. Each chunk keeps the context of its submission as a
W3C `traceparent`, so that what is done with it later, elsewhere, belongs to the same trace. Spans have ids, counts and
words of ours, never a name, a reference or what an error says.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, Literal

from storage.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Span, Tracer

Kind = Literal["internal", "server", "producer", "consumer", "client"]

# Where the collector is, for traces alone or for all that OpenTelemetry knows.
ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL: Final = "http/protobuf"
_OFF: Final = nullcontext()

_provider: "TracerProvider | None" = None
_tracer: "Tracer | None" = None

log = logging.getLogger(__name__)


def set_up_traces(program: str) -> None:
    """Trace from now on as this program, where the environment wants that; say why not where it cannot be."""
    if _tracer is not None or not _are_wanted():
        return
    protocol = next((os.environ[name] for name in PROTOCOLS if os.environ.get(name)), PROTOCOL)
    if protocol != PROTOCOL:
        log.warning(
            "nothing is traced: OpenTelemetry's protocol is set to %s, and only %s is spoken", protocol, PROTOCOL
        )
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("nothing is traced: install what the variables OTEL_… ask for: starlight-batch-scanner[traces]")
        return
    start_tracing(program, BatchSpanProcessor(OTLPSpanExporter()))


def _are_wanted() -> bool:
    is_disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    exporter = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    return not is_disabled and exporter == "otlp" and any(os.environ.get(name) for name in ENDPOINTS)


def start_tracing(program: str, processor: "SpanProcessor") -> None:
    """Trace from now on as this program, through this processor. Samplers and limits are those of the environment."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    global _provider, _tracer
    service = os.environ.get("OTEL_SERVICE_NAME") or (program if program == "starlight" else f"starlight-{program}")
    _provider = TracerProvider(resource=Resource.create({"service.name": service, "service.version": VERSION}))
    _provider.add_span_processor(processor)
    _tracer = _provider.get_tracer("starlight", VERSION)


def stop_tracing() -> None:
    """Hand out what was traced, and trace no more."""
    global _provider, _tracer
    if _provider is not None:
        _provider.shutdown()
    _provider = _tracer = None


def trace(
    name: str, *, parent: str | None = None, kind: Kind = "internal", begun_ns: int | None = None, **about: object
) -> "AbstractContextManager[Span | None]":
    """Return a block that is one span, which it yields, or None where nothing is traced.

    It belongs to the trace of `parent`, a W3C `traceparent`, else to that of the block around it, else to a new one.
    `begun_ns` is when it began, in nanoseconds since 1970, if not now; `about` become attributes `starlight.…`.
    """
    return _OFF if _tracer is None else _trace(_tracer, name, parent, kind, begun_ns, about)


@contextmanager
def _trace(
    tracer: "Tracer", name: str, parent: str | None, kind: Kind, begun_ns: int | None, about: Mapping[str, object]
) -> "Iterator[Span]":
    from opentelemetry.trace import SpanKind, StatusCode

    with tracer.start_as_current_span(
        name,
        context=None if parent is None else _read_context(parent),
        kind=SpanKind[kind.upper()],
        attributes=_name_attributes(about),
        start_time=begun_ns,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except Exception as error:
            # Not what it says, which may quote what somebody sent.
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise


def trace_until(ended: "Future[Any]", name: str, **about: object) -> None:
    """Have a span last from now until this is done, within the block around it."""
    if _tracer is not None:
        span = _tracer.start_span(name, attributes=_name_attributes(about))
        ended.add_done_callback(lambda _: span.end())


def describe_span(**about: object) -> None:
    """Add attributes to the span of the block around this."""
    if _tracer is not None:
        from opentelemetry.trace import get_current_span

        get_current_span().set_attributes(_name_attributes(about))


def read_traceparent() -> str | None:
    """Return the W3C `traceparent` of the block around this, None where nothing is traced."""
    if _tracer is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def find_trace_id() -> str | None:
    """Return the id of the trace that the block around this is part of, in 32 hex digits, None where none is kept."""
    if _tracer is None:
        return None
    from opentelemetry.trace import format_trace_id, get_current_span

    context = get_current_span().get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid and context.trace_flags.sampled else None


def find_exemplar() -> dict[str, str] | None:
    """Return the labels by which a sample of a histogram leads to its trace."""
    trace_id = find_trace_id()
    return None if trace_id is None else {"trace_id": trace_id}


def _read_context(traceparent: str) -> "Context":
    """Return the context that it names; of what is none, an empty one, which begins a new trace."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent})


def _name_attributes(about: Mapping[str, object]) -> dict[str, str | int | float]:
    return {
        f"starlight.{name}": value if isinstance(value, int | float) else str(value) for name, value in about.items()
    }
