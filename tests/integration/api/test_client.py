"""The Python client against the served API: the same tests for programs with and without an event loop."""

import asyncio
import inspect
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from starlight_client import (
    AsyncStarlight,
    ExportFormat,
    ExportReport,
    JobOptions,
    JobReport,
    JobSources,
    ListingState,
    Outcome,
    Priority,
    RefusedError,
    Starlight,
    UnreadableAnswerError,
    Verdict,
    exchanges,
    flows,
)
from starlight_vocabulary.exports import MANIFEST
from storage import rescans
from storage.keys import create_key
from storage.listings import claim_listing
from storage.settings import Settings
from storage.verdict_search import VerdictFilter, find_verdicts
from storage.workers import list_live_workers, report_worker
from tests.kit.exports import make_here
from tests.kit.pictures import encode_pattern
from tests.kit.rows import finish_waiting_chunks, register_v4, require_provenance

REFERENCES = [f"https://example.com/{number}.png" for number in range(5)]


class Blocking:
    """The asynchronous client as a blocking one: calls are awaited, and iterators are read to the end."""

    def __init__(self, client: AsyncStarlight) -> None:
        self._client = client
        self._runner = asyncio.Runner()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            called = getattr(self._client, name)(*arguments, **options)
            return self._runner.run(called if inspect.iscoroutine(called) else collected(called))

        return call

    def end(self) -> None:
        self.close()
        self._runner.close()


async def collected(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


class Lossy(httpx.HTTPTransport):
    """A transport that loses the next `losses` responses after the server has processed the requests."""

    losses = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if self.losses:
            self.losses -= 1
            response.close()
            raise httpx.ReadError("the connection was lost")
        return response


class AsyncLossy(httpx.AsyncHTTPTransport):
    """The same for an event loop."""

    losses = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if self.losses:
            self.losses -= 1
            await response.aclose()
            raise httpx.ReadError("the connection was lost")
        return response


@pytest.fixture(params=[Lossy, AsyncLossy])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Lossy | AsyncLossy:
    monkeypatch.setattr(exchanges, "FIRST_PAUSE_S", 0.001)
    made: Lossy | AsyncLossy = request.param()
    return made


@pytest.fixture
def starlight(address: str, engine: Engine, transport: Lossy | AsyncLossy) -> Iterator[Any]:
    key = create_key(engine, "ann", ["submit", "read"], ["s3://bucket"])
    if isinstance(transport, Lossy):
        with Starlight(address, key, transport=transport) as client:
            yield client
    else:
        blocking = Blocking(AsyncStarlight(address, key, transport=transport))
        yield blocking
        blocking.end()


def test_a_job_is_submitted_listed_looked_at_and_cancelled(starlight: Any) -> None:
    job = starlight.submit(iter(REFERENCES), JobOptions(name="june", priority=Priority.INTERACTIVE, threshold=0.25))

    assert (job.name, job.priority, job.threshold, job.total) == ("june", "interactive", 0.25, 5)
    assert starlight.job(str(job.id)) == job
    assert list(starlight.jobs()) == [job]
    cancelled = starlight.cancel(job.id)
    assert (cancelled.cancelled, cancelled.job.state) == (5, "cancelled")


def test_sources_are_listed_by_the_server(starlight: Any, engine: Engine) -> None:
    wanted = JobSources(uris=["s3://bucket/p/"], manifests=["s3://bucket/m.csv"], column="where", include=["*.png"])

    job = starlight.submit_sources(wanted, JobOptions(name="june", priority=Priority.INTERACTIVE))

    assert (job.name, job.priority, job.listing, job.total) == ("june", "interactive", ListingState.WAITING, 1)
    listing = claim_listing(engine)
    assert listing is not None
    assert (listing.job_id, listing.sources) == (job.id, wanted)


def test_files_and_folders_are_uploaded(starlight: Any, tmp_path: Path) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    for name in ("one.png", "folder/two.png", "folder/inner/three.png"):
        (tmp_path / name).write_bytes(encode_pattern("PNG"))

    job = starlight.upload([tmp_path / "one.png", str(tmp_path / "folder")], JobOptions(name="files"))

    assert (job.name, job.total) == ("files", 3)
    with pytest.raises(FileNotFoundError):
        starlight.upload([tmp_path / "missing.png"])


def test_an_answer_that_is_lost_stores_no_second_job(starlight: Any, transport: Lossy) -> None:
    transport.losses = 2
    job = starlight.submit(REFERENCES)

    assert list(starlight.jobs()) == [job]


def test_verdicts_come_page_by_page(starlight: Any, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "PAGE", 2)
    job = starlight.submit(REFERENCES)
    finish_waiting_chunks(engine)

    verdicts = list(starlight.verdicts(job.id))

    assert [verdict.uri for verdict in verdicts] == REFERENCES
    assert verdicts == list(find_verdicts(engine, VerdictFilter(job_id=job.id)))
    assert list(starlight.verdicts(job.id, outcome=Outcome.STEGO)) == []
    assert list(starlight.verdicts(job.id, limit=3)) == verdicts[:3]
    assert len(list(starlight.find(limit=1))) == len(list(starlight.jobs(limit=1))) == 1
    assert {verdict.ordinal for verdict in starlight.find(outcome=Outcome.CLEAN, since=job.created_at)} == set(range(5))
    assert len(list(starlight.image(verdicts[0].sha256))) == 5
    assert starlight.verdict(job.id, 3).provenance == require_provenance(engine, job.id, 3)


def test_statistics_are_those_of_the_server(starlight: Any, engine: Engine) -> None:
    report_worker(engine, "cpu0@here", "cpu0", register_v4(engine))
    starlight.submit(REFERENCES)
    finish_waiting_chunks(engine)

    statistics = starlight.statistics()

    assert statistics.outcomes == {"clean": 5, "stego": 0, "error": 0}
    assert statistics.workers == list_live_workers(engine, 60)


def test_a_job_is_followed_to_its_end_over_a_lost_connection(starlight: Any, engine: Engine, transport: Lossy) -> None:
    job = starlight.submit(REFERENCES)
    finish_waiting_chunks(engine)
    transport.losses = 1

    found = list(starlight.follow(job.id))

    assert sorted(each.ordinal for each in found if isinstance(each, Verdict)) == [0, 1, 2, 3, 4]
    assert isinstance(found[-1], JobReport)
    assert found[-1].state == "done"


def test_waiting_tells_of_progress(starlight: Any, engine: Engine) -> None:
    job = starlight.submit(REFERENCES)
    seen: list[int] = []

    def progress(job: JobReport) -> None:
        seen.append(job.finished)
        if job.finished == 0:
            finish_waiting_chunks(engine, Outcome.ERROR)

    ended = starlight.wait(job.id, progress=progress)

    assert (ended.state, ended.error) == ("done", 5)
    assert seen == [0, 5]


def test_verdicts_of_a_model_are_found(starlight: Any, engine: Engine) -> None:
    job = starlight.submit(REFERENCES)
    finish_waiting_chunks(engine)

    found = [list(starlight.verdicts(job.id, model=model)) for model in ("v4-0", "0", "0" * 12)]

    assert [len(each) for each in found] == [5, 5, 5]
    assert len(list(starlight.find(model="v4-0"))) == 5
    for unknown in ("v4-1", "00"):
        with pytest.raises(RefusedError, match=f"query.model: there is no model '{unknown}': use one of v4-0"):
            list(starlight.verdicts(job.id, model=unknown))


def test_images_are_scanned_again_and_models_compared(
    starlight: Any, engine: Engine, transport: Lossy, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [starlight.submit(REFERENCES).id for _ in range(3)]
    finish_waiting_chunks(engine)
    monkeypatch.setattr(rescans, "JOBS_AT_ONCE", 1)

    transport.losses = 1
    first = list(starlight.rescan("v4-0", outcome=Outcome.CLEAN, name="june"))
    again = list(starlight.rescan("v4-0", outcome=Outcome.CLEAN, again=True, job_id=jobs[0]))

    assert [each.rescan_of for each in first] == jobs
    # The retry of the request whose response was lost finds the job that was already made.
    assert [each.was_done for each in first] == [True, False, False]
    assert {starlight.job(each.job_id).name for each in first} == {"june"}
    assert [(each.rescan_of, each.was_done) for each in again] == [(jobs[0], False)]
    compared = starlight.compare("v4-0", "0" * 12, sample=3)
    assert (compared.files, compared.differing, compared.counts[0].agrees) == (1, 0, True)


def test_an_export_is_asked_for_awaited_and_downloaded(
    starlight: Any, engine: Engine, transport: Lossy, api_settings: Settings, tmp_path: Path
) -> None:
    starlight.submit(REFERENCES)
    finish_waiting_chunks(engine)
    report = starlight.start_export(ExportFormat.NDJSON, model="v4-0", partition_by="day", outcome=Outcome.CLEAN)
    with pytest.raises(RefusedError, match="404"):
        starlight.download_export(report.id, tmp_path / "early")
    seen: list[str] = []

    def make_it(export: ExportReport) -> None:
        seen.append(export.state)
        if export.state == "pending":
            make_here(engine, api_settings)

    done = starlight.wait_for_export(report.id, progress=make_it)
    transport.losses = 1
    (path,) = starlight.download_export(report.id, tmp_path / "export")

    assert seen == ["pending", "done"]
    assert (done.rows, done.error, starlight.exports()[0].id) == (5, None, report.id)
    assert [json.loads(line)["uri"] for line in path.read_text().splitlines()] == REFERENCES
    assert json.loads((tmp_path / "export" / MANIFEST).read_text())["rows"] == 5
    path.write_text("changed meanwhile")
    starlight.download_export(report.id, tmp_path / "export")
    assert path.stat().st_size == starlight.export(report.id).files[0].size_bytes
    starlight.delete_export(report.id)
    assert starlight.exports() == []
    assert not (tmp_path / "early").exists()


def test_what_is_refused_says_why(starlight: Any) -> None:
    with pytest.raises(RefusedError, match=r"422 .*references\.0") as refused:
        starlight.submit(["ftp://example.com/1.png"])
    assert refused.value.problem["errors"][0]["field"] == "references.0"
    with pytest.raises(RefusedError, match="404"):
        starlight.job(uuid.UUID(int=1))


def test_a_server_that_cannot_be_reached_is_tried_and_given_up(starlight: Any, transport: Lossy) -> None:
    transport.losses = exchanges.TRIES

    with pytest.raises(httpx.ReadError):
        starlight.statistics()
    assert transport.losses == 0
    assert starlight.statistics().outcomes["clean"] == 0


def test_an_answer_of_something_else_says_what_it_is_not(starlight: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "_path_of", lambda _: "/openapi.json")

    with pytest.raises(UnreadableAnswerError, match=r"/openapi.json is not a JobReport \(KeyError: 'id'\)"):
        starlight.job(uuid.UUID(int=1))


@pytest.mark.parametrize("client", [Starlight, AsyncStarlight])
def test_a_key_that_no_header_holds_is_refused_at_once(client: type[Starlight] | type[AsyncStarlight]) -> None:
    with pytest.raises(httpx.LocalProtocolError, match="the key is sent in a header"):
        client("http://127.0.0.1:1", "starlight_ü")
