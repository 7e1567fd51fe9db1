"""A real Prometheus scrapes the programs of the stack while they scan, and while the only worker dies."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import Engine, text

from monitoring.grafana.pages import Page
from monitoring.grafana.postgresql_pages import ANALYSTS
from monitoring.grafana.prometheus_pages import API, GPU, OPERATIONS, QUALITY, WORKER
from producer.canaries.rounds import run_round
from producer.following import Follower
from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import Priority
from storage.canaries import CanaryResult, begin_round
from storage.keys import create_key
from storage.settings import Settings
from storage.submission import submit_job
from storage.workers import list_live_workers
from tests.kit.folders import make_temporary_folder
from tests.kit.inputs import make_stego_files
from tests.kit.pictures import draw_grained, encode
from tests.kit.ports import find_free_port
from tests.kit.programs import Program, run_program
from tests.kit.prometheus import Prometheus, find_tool, read_rules, run_prometheus
from tests.kit.samples import Samples, scrape
from tests.kit.threads import PATIENCE_S

LEASE_S = 2
TARGET = 10
IMAGES = 600
# The values that Grafana inserts for its variables.
VARIABLES = {"$__rate_interval": "20s", "$instance": ".+"}
WATCHED_S = 600


@dataclass(frozen=True)
class Watched:
    """The programs, and the Prometheus that scrapes them."""

    engine: Engine
    settings: Settings
    prometheus: Prometheus
    worker: Program
    exporter_port: int
    worker_port: int
    api_port: int
    api_metrics_port: int

    def work(self, folder: Path) -> None:
        """Have images of each outcome judged with both priorities, and send some requests to the API."""
        (folder / "clean.png").write_bytes(encode(draw_grained()))
        (folder / "stego.jpg").write_bytes(make_stego_files()["raw.jpg"])
        (folder / "none.txt").write_text("none")
        references = [(folder / name).as_uri() for name in ("clean.png", "stego.jpg", "none.txt")]
        job = submit_job(self.engine, references * (IMAGES // 3), submitter="tester", chunk_size=16)
        options = JobOptions(priority=Priority.INTERACTIVE)
        urgent = submit_job(self.engine, references, options, submitter="tester")
        headers = {"Authorization": f"Bearer {create_key(self.engine, 'tester', ['read'])}"}
        for job_id in (urgent.job_id, job.job_id):
            for update in Follower(self.engine, job_id).follow():
                if update.job.finished:
                    httpx.get(f"http://127.0.0.1:{self.api_port}/v1/jobs/{job_id}", headers=headers)
                self.check_accounts()

    def run_canaries(self) -> None:
        """Have a round of canaries judged, which has counters of its own."""
        round_id = begin_round(self.engine, 1, 0.0)
        assert round_id is not None
        answers = run_round(self.engine, self.settings, round_id, 1, PATIENCE_S)
        assert {answer.result for answer in answers} == {CanaryResult.RIGHT}
        self.check_accounts()

    def check_accounts(self) -> None:
        """Check that every image is accounted for at each moment of a job."""
        samples = scrape(self.exporter_port)
        finished = sum(samples["starlight_images_finished_total"].values())
        waiting = sum(samples["starlight_queue_images"].values())
        assert samples["starlight_images_submitted_total"][()] == finished + waiting
        assert samples["starlight_images_unaccounted"][()] == 0


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with make_temporary_folder() as folder:
        yield folder


@pytest.fixture
def watched(engine: Engine, database_url: str, redis_url: str, folder: Path) -> Iterator[Watched]:
    """The programs of a stack, each started separately, so that none is restarted when it dies."""
    find_tool("prometheus")
    ports = [find_free_port() for _ in range(4)]
    settings = {
        "database_url": database_url, "redis_url": redis_url, "data_dir": folder, "lease_s": LEASE_S, "reuse": False,
        "target_images_per_minute": TARGET, "cores": 1, "exporter_port": ports[0], "worker_metrics_port": ports[1],
        "api_port": ports[2], "api_metrics_port": ports[3], "blob_url": (folder / "blobs").as_uri(),
    }  # fmt: skip
    (folder / "blobs").mkdir(exist_ok=True)
    jobs = {"starlight": ports[0], "starlight-worker": ports[1], "starlight-api": ports[3]}
    with ExitStack() as programs:
        programs.enter_context(run_program("-m", "monitoring", settings=settings, until="metrics are served"))
        programs.enter_context(run_program("-m", "producer.api", settings=settings, until="the API is running"))
        programs.enter_context(run_program("-m", "producer.cli", "dispatcher", settings=settings, until=None))
        worker = programs.enter_context(run_program("-m", "worker", "cpu0", settings=settings, until="ready"))
        targets = {job: [f"127.0.0.1:{port}"] for job, port in jobs.items()}
        prometheus = programs.enter_context(run_prometheus(folder, targets))
        own = Settings(data_dir=folder, blob_url=(folder / "blobs").as_uri())
        yield Watched(engine, own, prometheus, worker, *ports)


def find_alert(name: str) -> str:
    """Return the expression of an alert."""
    (rule,) = (rule for rule in read_rules("alerts.yml") if rule["alert"] == name)
    return str(rule["expr"])


def test_a_night_in_short(watched: Watched, tmp_path: Path) -> None:
    """One test, since the programs take long to start: they scan, every panel has its data, and the worker dies."""
    watched.prometheus.wait_for('up{job="starlight-worker"} == 1')
    watched.work(tmp_path)
    samples, worker = scrape(watched.exporter_port), scrape(watched.worker_port)
    see_what_the_database_says(watched.engine, samples)
    see_what_the_worker_did(worker)
    watched.run_canaries()

    # Rules are evaluated periodically, and rates need two scrapes after the last change.
    watched.prometheus.wait_for(f"max(starlight_images_submitted_total) == {IMAGES + 3}")
    watched.prometheus.wait_for("starlight:images_per_minute:rate1m > 0")
    watched.prometheus.wait_for('sum(starlight_canary_images_total{result="right"}) == 10')
    for page in (OPERATIONS, WORKER, API, QUALITY):
        see_data_in_every_panel(watched.prometheus, page)
    for panel in GPU.panels:
        for query in panel.queries:
            watched.prometheus.query(query.expression)
    see_rows_in_every_table(watched.engine)

    no_worker, died = find_alert("StarlightNoWorker"), watched.worker.process
    assert watched.prometheus.query(no_worker) == {}
    died.kill()
    died.join()
    assert set(watched.prometheus.wait_for(no_worker).values()) == {0}
    pending = watched.prometheus.wait_for('ALERTS{alertname="StarlightNoWorker"}')
    assert {dict(labels)["alertstate"] for labels in pending} <= {"pending", "firing"}
    assert list_live_workers(watched.engine, LEASE_S) == []
    # The counts of the dead worker are kept in PostgreSQL.
    after = scrape(watched.exporter_port)
    assert after["starlight_images_finished_total"] == samples["starlight_images_finished_total"]


def see_what_the_database_says(engine: Engine, samples: Samples) -> None:
    counted = text("SELECT outcome, count(*) AS images FROM verdicts GROUP BY outcome")
    recent = text("SELECT count(*) FROM verdicts WHERE scanned_at > now() - interval '1 minute'")
    with engine.connect() as connection:
        outcomes = {(row.outcome,): row.images for row in connection.execute(counted)}
        last_minute = connection.execute(recent).scalar_one()
    assert outcomes == {("clean",): 201, ("stego",): 201, ("error",): 201}
    assert samples["starlight_images_finished_total"] == outcomes
    assert samples["starlight_image_errors_total"]["unknown_format",] == 201
    assert samples["starlight_images_found_total"]["raw",] == 201
    assert samples["starlight_images_per_minute"][()] == pytest.approx(last_minute, rel=0.1)
    assert samples["starlight_image_seconds_count"] == {("bulk",): IMAGES, ("interactive",): 3}
    assert samples["starlight_chunks_claimed_total"][()] == IMAGES / 16 + 0.5 + 1
    assert samples["starlight_device_workers"] == {("cpu0",): 1}
    assert samples["starlight_workers"][()] == len(samples["starlight_model_workers"]) == 1
    assert sum(samples["starlight_queue_chunks"].values()) == sum(samples["starlight_jobs_open"].values()) == 0


def see_what_the_worker_did(samples: Samples) -> None:
    assert samples["starlight_worker_images_total"] == {("cpu0",): IMAGES + 3}
    chunks = IMAGES // 16 + 1 + 1
    stages = samples["starlight_worker_stage_seconds_count"]
    assert {stage: stages["cpu0", stage] for stage in ("load", "decode", "wait", "write")} == dict.fromkeys(
        ("load", "decode", "wait", "write"), chunks
    )
    assert 0 < samples["starlight_worker_batch_fill_ratio_sum"]["cpu0",] <= stages["cpu0", "score"]
    assert samples["starlight_worker_images_held"] == samples["starlight_worker_chunks_running"] == {("cpu0",): 0}
    assert samples["process_resident_memory_bytes"][()] > 0


def see_data_in_every_panel(prometheus: Prometheus, page: Page) -> None:
    for panel in page.panels:
        for query in panel.queries:
            expression = query.expression
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            assert prometheus.query_past(expression, WATCHED_S), f"{page.title}, {panel.title}: {expression}"


def see_rows_in_every_table(engine: Engine) -> None:
    address = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as connection:
        for panel in ANALYSTS.panels:
            for query in panel.queries:
                statement = query.expression
                for column in ("scanned_at", "created_at"):
                    within = f"{column} BETWEEN now() - interval '1 hour' AND now()"
                    statement = statement.replace(f"$__timeFilter({column})", within)
                assert connection.execute(statement.encode()).fetchall(), panel.title
