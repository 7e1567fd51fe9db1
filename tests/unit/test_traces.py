"""Traces are off by default, then cost nothing, and never contain the message of an error."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from opentelemetry.trace import StatusCode

from storage import traces
from storage.log_lines import make_formatter
from storage.traces import (
    describe_span,
    find_exemplar,
    find_trace_id,
    read_traceparent,
    set_up_traces,
    stop_tracing,
    trace,
    trace_until,
)
from tests.kit.traces import record_spans

COLLECTOR = "http://127.0.0.1:9/"


@pytest.fixture(autouse=True)
def _no_traces_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*traces.ENDPOINTS, *traces.PROTOCOLS, "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    yield
    stop_tracing()


def is_tracing() -> bool:
    with trace("something") as span:
        return span is not None


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR, "OTEL_SDK_DISABLED": "True"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": COLLECTOR, "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_traces_are_off_unless_a_collector_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    set_up_traces("api")

    assert not is_tracing()
    assert (find_trace_id(), find_exemplar(), read_traceparent()) == (None, None, None)
    describe_span(images=1)
    trace_until(Future(), "nothing")
    assert caplog.records == []


@pytest.mark.parametrize("variable", traces.ENDPOINTS)
def test_a_collector_turns_them_on(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, COLLECTOR)
    # Without a collector, nothing is sent.
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")

    set_up_traces("api")

    assert is_tracing()


def test_a_protocol_that_is_not_spoken_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", COLLECTOR)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")

    set_up_traces("api")

    assert not is_tracing()
    (told,) = caplog.messages
    assert "grpc" in told


def test_packages_that_are_missing_are_named_in_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", COLLECTOR)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)

    set_up_traces("worker")

    assert not is_tracing()
    (told,) = caplog.messages
    assert "starlight-batch-scanner[traces]" in told


def test_nothing_is_imported_where_they_are_off() -> None:
    program = (
        # The other modules import libraries that themselves import OpenTelemetry if it is installed.
        "import sys, storage.jobs, storage.log_lines, storage.traces, worker.scanning.metrics;"
        "storage.traces.set_up_traces('worker');"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout == "[]\n"


def test_an_error_is_told_by_its_kind_alone() -> None:
    with record_spans() as spans:
        with pytest.raises(ValueError, match="secret"), trace("outer"), trace("inner"):
            raise ValueError("secret.png")

        for name in ("outer", "inner"):
            span = spans.find(name)
            assert span.status.status_code is StatusCode.ERROR
            assert span.attributes == {"error.type": "ValueError"}
            assert "secret" not in span.to_json()


def test_what_is_done_later_ends_its_span_then() -> None:
    scores: Future[None] = Future()
    with record_spans() as spans:
        with trace("scan"):
            trace_until(scores, "score", images=3)
        assert [span.name for span in spans.list_all()] == ["scan"]

        scores.set_result(None)

        assert spans.name_parents() == {"scan": {""}, "score": {"scan"}}
        assert spans.find("score").attributes == {"starlight.images": 3}


def test_a_line_of_a_log_names_the_trace_that_it_is_written_in() -> None:
    record = logging.LogRecord("storage", logging.WARNING, __file__, 1, "here", (), None)
    formatter = make_formatter("text", {"program": "worker"})
    with record_spans():
        with trace("scan"):
            traced, trace_id = formatter.format(record), find_trace_id()
        untraced = formatter.format(record)

    assert traced.endswith(f"here  trace_id={trace_id}")
    assert untraced.endswith("here")
