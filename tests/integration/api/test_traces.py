"""One trace connects the caller's request with the verdicts and the webhook, through all processes."""

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import redis
from opentelemetry.trace import format_span_id
from prometheus_client import make_wsgi_app
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from producer.dispatching.deliverer import Deliverer
from producer.dispatching.dispatcher import Dispatcher
from starlight_vocabulary.words import ErrorCode, Outcome
from storage.dispatch import DispatchedChunk, recover_lost_chunk
from storage.failures import retry_job
from storage.message_counts import RedisCounter
from storage.settings import Settings
from tests.kit.api import Api
from tests.kit.pictures import encode_pattern
from tests.kit.receiver import SECRET, Receiver, receive_webhooks
from tests.kit.rows import claim_waiting_chunks, expire_leases, finish_waiting_chunks, submit_job_of
from tests.kit.traces import Spans, record_spans
from tests.kit.worker_process import run_worker_process
from worker.process import WorkerProcess
from worker.scanning.metrics import Stage

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"


@pytest.fixture
def spans() -> Iterator[Spans]:
    with record_spans() as spans:
        yield spans


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receive_webhooks() as receiver:
        yield receiver


@pytest.fixture
def api_settings(api_settings: Settings) -> Settings:
    more = {"webhook_secret": SecretStr(SECRET), "fetch_allowed_networks": (ip_network("127.0.0.0/8"),)}
    return api_settings.model_copy(update=more)


@pytest.fixture
def process(engine: Engine, api_settings: Settings) -> Iterator[WorkerProcess]:
    with run_worker_process(engine, api_settings) as process:
        yield process


def dispatch(engine: Engine, settings: Settings) -> list[DispatchedChunk]:
    """Run a round of a dispatcher; return the published chunks."""
    assert settings.redis_url is not None
    published: list[DispatchedChunk] = []
    with redis.Redis.from_url(settings.redis_url) as broker:
        Dispatcher(engine, RedisCounter(broker), settings, published.extend).do_round()
    return published


def read_traceparents(engine: Engine) -> list[str | None]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT traceparent FROM chunks ORDER BY id")).scalars())


def submit(client: TestClient, root: Path, traceparent: str | bytes | None, **options: Any) -> str:
    """Submit a picture and another file, as part of a trace; return the job's id."""
    (root / "clean.png").write_bytes(encode_pattern("PNG"))
    (root / "none.png").write_bytes(b"none")
    body = {"references": [(root / name).as_uri() for name in ("clean.png", "none.png")], **options}
    headers = {} if traceparent is None else {"traceparent": traceparent}
    answer = client.post("/v1/jobs", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def test_one_trace_leads_from_a_request_to_its_verdicts_and_the_webhook(
    ann: TestClient,
    engine: Engine,
    root: Path,
    api_settings: Settings,
    process: WorkerProcess,
    receiver: Receiver,
    spans: Spans,
) -> None:
    job_id = submit(ann, root, TRACEPARENT, webhook=receiver.url)
    (chunk,) = dispatch(engine, api_settings)
    process.scan_chunk(chunk.chunk_id)
    assert Deliverer(engine, api_settings).deliver_next()

    assert spans.list_traces() == {TRACE}
    assert spans.name_parents() == {
        "POST /v1/jobs": {CALLER},
        "submit": {"POST /v1/jobs"},
        "dispatch": {"submit"},
        "scan": {"submit"},
        "deliver": {"submit"},
        **{stage.value: {"scan"} for stage in Stage},
    }
    scanned = spans.find("scan").attributes or {}
    about = {"job": job_id, "chunk": str(chunk.chunk_id), "device": "cpu0", "attempt": 1, "clean": 1, "error": 1}
    assert {f"starlight.{name}": value for name, value in about.items()}.items() <= scanned.items()
    ((headers, _),) = receiver.messages
    assert headers["traceparent"] == f"00-{TRACE}-{format_span_id(spans.find('deliver').context.span_id)}-01"
    # Spans contain nothing that a client sent.
    told = " ".join(str(value) for span in spans.list_all() for value in (span.attributes or {}).values())
    assert not any(word in told for word in ("clean.png", "none.png", receiver.url, "ann"))


def test_what_a_caller_does_not_sample_is_traced_nowhere(
    ann: TestClient, engine: Engine, root: Path, api_settings: Settings, process: WorkerProcess, spans: Spans
) -> None:
    submit(ann, root, TRACEPARENT.removesuffix("1") + "0")
    (chunk,) = dispatch(engine, api_settings)
    process.scan_chunk(chunk.chunk_id)

    assert spans.list_all() == ()
    assert (chunk.traceparent or "").startswith(f"00-{TRACE}-")


@pytest.mark.parametrize("named", [None, "", "none", f"00-{'0' * 32}-{CALLER}-01", b"\xe4" * 55, "0" * 9000])
def test_who_names_no_trace_begins_one(ann: TestClient, root: Path, spans: Spans, named: Any) -> None:
    submit(ann, root, named)

    (trace,) = spans.list_traces()
    assert trace != TRACE
    assert spans.find("POST /v1/jobs").parent is None


def test_strangers_have_nothing_traced(api: Api, spans: Spans) -> None:
    for path in ("/health", "/v1/jobs", "/nothing"):
        api.connect().get(path, headers={"traceparent": TRACEPARENT})
        api.connect("sl_wrong").get(path, headers={"traceparent": TRACEPARENT})

    assert spans.list_all() == ()


def test_pieces_of_a_lost_chunk_keep_its_trace(ann: TestClient, engine: Engine, root: Path, spans: Spans) -> None:
    submit(ann, root, TRACEPARENT)
    (submitted,) = read_traceparents(engine)

    for _ in range(2):
        claim_waiting_chunks(engine)
        expire_leases(engine)
        assert recover_lost_chunk(engine, 3, 0.0)

    assert submitted is not None
    assert read_traceparents(engine) == [submitted, submitted]


def test_a_retry_has_a_trace_of_its_own(engine: Engine, spans: Spans) -> None:
    job_id = submit_job_of(engine, 2)
    finish_waiting_chunks(engine, Outcome.ERROR)
    retry_job(engine, job_id, codes=[ErrorCode.EMPTY])

    (trace,) = spans.list_traces()
    earlier, later = read_traceparents(engine)
    assert earlier is None
    assert (later or "").split("-")[1] == trace


def test_nothing_is_stored_where_nothing_is_traced(ann: TestClient, engine: Engine, root: Path) -> None:
    submit(ann, root, TRACEPARENT)

    assert read_traceparents(engine) == [None]


def test_a_sample_of_latency_leads_to_its_trace_where_openmetrics_is_asked_for(
    api: Api, ann: TestClient, spans: Spans
) -> None:
    ann.get("/v1/jobs", headers={"traceparent": TRACEPARENT})
    api.connect().get("/health")

    page = ask_for_metrics(api, "application/openmetrics-text; version=1.0.0")
    exemplars = {
        sample.labels["route"]: sample.exemplar.labels["trace_id"]
        # prometheus_client has no types for this.
        for family in text_string_to_metric_families(page)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar
    }
    assert exemplars == {"/v1/jobs": TRACE}
    assert TRACE not in ask_for_metrics(api, "text/plain")


def ask_for_metrics(api: Api, accepted: str) -> str:
    """Return the page of metrics for a request with this Accept header."""
    heads: list[dict[str, str]] = []

    def start(_status: str, headers: list[tuple[str, str]], *_: object) -> Any:
        heads.append(dict(headers))

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", "QUERY_STRING": "", "HTTP_ACCEPT": accepted}
    page = b"".join(make_wsgi_app(api.metrics.registry)(environ, start)).decode()
    assert heads[0]["Content-Type"].startswith(accepted.partition(";")[0])
    return page
