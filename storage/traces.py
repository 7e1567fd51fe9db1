"""Traces: a submission's way through all processes, as OpenTelemetry spans.

They are off unless OpenTelemetry's own environment variables name a collector and the extra `traces` is
installed; until then nothing of OpenTelemetry is imported. Each chunk stores the context of its submission as a
W3C `traceparent`, so that later work elsewhere joins the same trace. Spans contain ids, counts and
our own words, never a name, a reference or an error's message.
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

# The collector's address, for traces only or for all signals.
ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL: Final = "http/protobuf"
_OFF: Final = nullcontext()

_provider: "TracerProvider | None" = None
_tracer: "Tracer | None" = None

log = logging.getLogger(__name__)


def set_up_traces(program: str) -> None:
    """Start tracing as this program if the environment asks for it; log the reason if that is not possible."""
    if _tracer is not None or not _are_wanted():
        return
    protocol = next((os.environ[name] for name in PROTOCOLS if os.environ.get(name)), PROTOCOL)
    if protocol != PROTOCOL:
        log.warning(
            "nothing is traced: OpenTelemetry's protocol is set to %s, and only %s is supported", protocol, PROTOCOL
        )
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("nothing is traced: the variables OTEL_… need starlight-batch-scanner[traces] to be installed")
        return
    start_tracing(program, BatchSpanProcessor(OTLPSpanExporter()))


def _are_wanted() -> bool:
    is_disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    exporter = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    return not is_disabled and exporter == "otlp" and any(os.environ.get(name) for name in ENDPOINTS)


def start_tracing(program: str, processor: "SpanProcessor") -> None:
    """Start tracing as this program, with this processor; the environment sets samplers and limits."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    global _provider, _tracer
    service = os.environ.get("OTEL_SERVICE_NAME") or (program if program == "starlight" else f"starlight-{program}")
    _provider = TracerProvider(resource=Resource.create({"service.name": service, "service.version": VERSION}))
    _provider.add_span_processor(processor)
    _tracer = _provider.get_tracer("starlight", VERSION)


def stop_tracing() -> None:
    """Export the remaining spans, and stop tracing."""
    global _provider, _tracer
    if _provider is not None:
        _provider.shutdown()
    _provider = _tracer = None


def trace(
    name: str, *, parent: str | None = None, kind: Kind = "internal", begun_ns: int | None = None, **about: object
) -> "AbstractContextManager[Span | None]":
    """Return a context manager that is one span, and yields it, or None if nothing is traced.

    Its parent is `parent`, a W3C `traceparent`, or else the surrounding span; without either it starts a trace.
    `begun_ns` is its start, in nanoseconds since 1970, by default now; `about` becomes attributes `starlight.…`.
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
            # Not its message, which may quote data from strangers.
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise


def trace_until(ended: "Future[Any]", name: str, **about: object) -> None:
    """Start a span within the current one that ends when this is done."""
    if _tracer is not None:
        span = _tracer.start_span(name, attributes=_name_attributes(about))
        ended.add_done_callback(lambda _: span.end())


def describe_span(**about: object) -> None:
    """Add attributes to the current span."""
    if _tracer is not None:
        from opentelemetry.trace import get_current_span

        get_current_span().set_attributes(_name_attributes(about))


def read_traceparent() -> str | None:
    """Return the W3C `traceparent` of the current span, None if nothing is traced."""
    if _tracer is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def find_trace_id() -> str | None:
    """Return the current trace id in 32 hex digits, None if the trace is not exported."""
    if _tracer is None:
        return None
    from opentelemetry.trace import format_trace_id, get_current_span

    context = get_current_span().get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid and context.trace_flags.sampled else None


def find_exemplar() -> dict[str, str] | None:
    """Return the labels of an exemplar that links a histogram sample to its trace."""
    trace_id = find_trace_id()
    return None if trace_id is None else {"trace_id": trace_id}


def _read_context(traceparent: str) -> "Context":
    """Return the context of a `traceparent`; an invalid one gives an empty context, which starts a trace."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent})


def _name_attributes(about: Mapping[str, object]) -> dict[str, str | int | float]:
    return {
        f"starlight.{name}": value if isinstance(value, int | float) else str(value) for name, value in about.items()
    }
