"""The exporter, scraped like Prometheus does."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from prometheus_client.core import Metric
from sqlalchemy import Engine, make_url
from sqlalchemy.exc import OperationalError

from monitoring.exporter import ScrapedServer
from monitoring.families import STATES, gauge
from starlight_vocabulary.words import METHODS, ErrorCode, Method, Outcome, Priority
from storage.canaries import CanaryAnswer, CanaryResult, begin_round, end_round
from storage.settings import CANARY_SUBMITTER
from storage.submission import submit_job
from storage.workers import report_worker
from tests.kit.ports import find_free_port
from tests.kit.programs import run_program
from tests.kit.rows import finish_waiting_chunks, register_v4, submit_job_of
from tests.kit.samples import Samples, scrape
from tests.kit.threads import PATIENCE_S


def find(samples: Samples, name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of the metric with this name."""
    return samples.get(f"starlight_{name}", {})


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> dict[str, Any]:
    """Settings of an exporter that uses the test's own servers."""
    return {
        "database_url": database_url, "redis_url": redis_url, "data_dir": tmp_path, "exporter_port": find_free_port(),
        "target_images_per_minute": 10, "blob_url": tmp_path.as_uri(),
    }  # fmt: skip


@pytest.fixture
def port(settings: dict[str, Any]) -> Iterator[int]:
    """The port of a running exporter."""
    with run_program("-m", "monitoring", settings=settings, until="metrics are served"):
        yield settings["exporter_port"]


def test_every_family_is_there_before_anything_happens(port: int) -> None:
    samples = scrape(port)

    assert set(find(samples, "images_finished_total")) == {(each.value,) for each in Outcome}
    assert set(find(samples, "image_errors_total")) == {(each.value,) for each in ErrorCode}
    assert set(find(samples, "images_found_total")) == {(each.value,) for each in METHODS}
    for name in ("queue_chunks", "queue_images", "queue_oldest_seconds"):
        queues = {(priority.value, state) for priority in Priority for state in STATES}
        assert find(samples, name) == dict.fromkeys(queues, 0), name
    for name in (
        "images_submitted_total", "images_reused_total", "images_convicted_total", "chunks_claimed_total",
        "chunks_lost_total", "chunks_split_total", "chunks_republished_total", "chunks_put_off_total",
        "chunks_given_back_total", "images_per_minute", "images_unaccounted", "oldest_waiting_seconds",
        "webhooks_waiting", "webhooks_failing", "webhooks_oldest_seconds", "workers", "stored_bytes",
        "stored_bytes_largest", "verdicts_unplaced",
    ):  # fmt: skip
        assert find(samples, name) == {(): 0}, name
    assert find(samples, "webhook_attempts_total") == {("delivered",): 0, ("failed",): 0, ("given_up",): 0}
    kinds = ("none", *(each.value for each in METHODS))
    canaries = {(hidden, result.value) for hidden in kinds for result in CanaryResult}
    assert find(samples, "canary_images_total") == dict.fromkeys(canaries, 0)
    for name in ("canary_rounds_total", "canary_last_round_timestamp_seconds"):
        assert find(samples, name) == {(result.value,): 0 for result in CanaryResult}, name
    assert find(samples, "canary_seconds_count") == find(samples, "canary_slowest_seconds") == {(): 0}
    assert find(samples, "canary_interval_seconds") == {(): 300}
    assert find(samples, "verdict_partitions")[()] > 0
    assert find(samples, "verdict_partitions_ahead_seconds")[()] > 0
    assert set(find(samples, "messages")) == {("scan.interactive",), ("scan.bulk",), ("unacked",)}
    assert find(samples, "blobs_disk_free_bytes")[()] < find(samples, "blobs_disk_bytes")[()]
    assert find(samples, "postgres_up") == find(samples, "redis_up") == {(): 1}


def test_what_happened_is_what_it_says(port: int, engine: Engine) -> None:
    submit_job_of(engine, 8)
    finish_waiting_chunks(engine)
    submit_job_of(engine, 5, priority=Priority.INTERACTIVE)
    model_id = register_v4(engine)
    for name in ("cpu0@here", "cpu0@there", "cpu1@here"):
        report_worker(engine, name, name[:4], model_id)

    samples = scrape(port)

    assert find(samples, "images_submitted_total")[()] == 13
    assert find(samples, "images_finished_total") == {("clean",): 8, ("stego",): 0, ("error",): 0}
    assert find(samples, "images_per_minute")[()] == 8
    assert find(samples, "target_ratio")[()] == 0.8
    assert find(samples, "queue_images")["interactive", "pending"] == 5
    assert find(samples, "queue_chunks")["interactive", "pending"] == 2
    assert find(samples, "jobs_open")["interactive", "pending"] == 1
    assert find(samples, "image_seconds_count")["bulk",] == 8
    assert find(samples, "image_seconds_bucket")["+Inf", "bulk"] == 8
    assert find(samples, "device_workers") == {("cpu0",): 2, ("cpu1",): 1}
    assert find(samples, "model_workers") == {("v4-0", "0" * 12): 3}


def test_canaries_show_by_what_is_hidden_and_result(port: int, engine: Engine) -> None:
    round_id = begin_round(engine, 7, 0.0)
    assert round_id is not None
    job_id = submit_job(engine, ["file:///canary"], submitter=CANARY_SUBMITTER, canary=True).job_id
    found = CanaryAnswer("raw.jpg", Method.RAW, CanaryResult.RIGHT, "stego", "raw", 1.0, seconds=0.2)
    alarm = CanaryAnswer("raw-clean.jpg", None, CanaryResult.WRONG, "stego", "raw", 1.0, seconds=0.3)
    end_round(engine, round_id, job_id, [found, alarm])

    samples = scrape(port)

    assert find(samples, "canary_images_total")["raw", "right"] == 1
    assert find(samples, "canary_images_total")["none", "wrong"] == 1
    assert sum(find(samples, "canary_images_total").values()) == 2
    assert find(samples, "canary_rounds_total")["wrong",] == 1
    assert find(samples, "canary_last_round_timestamp_seconds")["wrong",] > 0
    assert find(samples, "canary_last_round_timestamp_seconds")["right",] == 0
    assert find(samples, "canary_seconds_sum")[()] == 0.5
    assert find(samples, "canary_slowest_seconds")[()] == 0.3


def test_servers_that_are_down_are_told_apart(settings: dict[str, Any], database_url: str) -> None:
    nowhere = make_url(database_url).set(port=find_free_port()).render_as_string(hide_password=False)
    with run_program("-m", "monitoring", settings={**settings, "database_url": nowhere}, until="metrics are served"):
        samples = scrape(settings["exporter_port"])
    assert (find(samples, "postgres_up"), find(samples, "redis_up")) == ({(): 0}, {(): 1})
    assert find(samples, "target_images_per_minute") == {(): 10}

    broker = f"redis://127.0.0.1:{find_free_port()}"
    with run_program("-m", "monitoring", settings={**settings, "redis_url": broker}, until="metrics are served"):
        samples = scrape(settings["exporter_port"])
    assert (find(samples, "postgres_up"), find(samples, "redis_up")) == ({(): 1}, {(): 0})


def test_a_server_that_hangs_is_down_and_is_asked_once() -> None:
    asked, go_on = [], threading.Event()

    def hang() -> list[Metric]:
        asked.append(1)
        go_on.wait(60)
        return [gauge("answer", "Of a server.", 1)]

    source = ScrapedServer("redis", hang, patience_s=0.05)

    for _ in range(3):
        assert [metric.name for metric in source.ask()] == ["starlight_redis_up", "starlight_redis_scrape_seconds"]
    assert len(asked) == 1
    go_on.set()
    patient = ScrapedServer("redis", hang, patience_s=60)
    assert [sample.value for metric in patient.ask() for sample in metric.samples][:2] == [1, 1]


def test_what_is_no_outage_is_not_hidden() -> None:
    def fail() -> list[Metric]:
        raise AssertionError

    with pytest.raises(AssertionError):
        list(ScrapedServer("redis", fail).ask())


@pytest.mark.parametrize("error", [redis.ConnectionError("gone"), OperationalError("q", {}, Exception("gone\nq"))])
def test_an_outage_is_one_line_in_the_log(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> list[Metric]:
        raise error

    assert len(list(ScrapedServer("postgres", fail).ask())) == 2
    (record,) = caplog.records
    assert "\n" not in record.getMessage()


def test_it_ends_when_it_is_told_to(settings: dict[str, Any]) -> None:
    with run_program("-m", "monitoring", settings=settings, until="metrics are served") as program:
        program.process.terminate()
        program.process.join(PATIENCE_S)
        assert program.process.exitcode == 0
