"""Reading through the API: pages, streams and files of verdicts, events and statistics, and who may see them."""

import asyncio
import csv
import io
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pyarrow import parquet
from sqlalchemy import Engine
from starlette.testclient import TestClient

from producer.api.negotiation import STREAMED, negotiate, stream_verdicts
from producer.verdict_writers import ROW_GROUP
from starlight_vocabulary.answers import Verification
from starlight_vocabulary.records import from_json, to_json
from starlight_vocabulary.verdict import EXAMPLE, VERDICT_KEYS, Verdict
from starlight_vocabulary.words import Outcome
from storage.chunks import finish_chunk
from storage.keys import create_key
from storage.seals import seal_ended_jobs
from storage.submission import submit_job
from storage.verdict_search import VerdictFilter, find_verdicts
from storage.verdicts import PAGE
from storage.verification import verify_job
from storage.workers import report_worker
from tests.kit.api import Api, read_problem
from tests.kit.events import list_ordinals, parse_events
from tests.kit.rows import (
    claim_waiting_chunks,
    execute,
    finish_last_chunk,
    finish_waiting_chunks,
    make_verdicts,
    register_v4,
    require_provenance,
    submit_job_of,
)
from tests.kit.threads import PATIENCE_S


def walked(client: httpx.Client, address: str, **parameters: Any) -> list[list[dict[str, Any]]]:
    """Return the verdicts of each page, from this page on."""
    pages = []
    answer = client.get(address, params=parameters)
    while True:
        assert answer.status_code == 200, answer.text
        pages.append(answer.json()["verdicts"])
        if answer.json()["next"] is None:
            return pages
        answer = client.get(answer.json()["next"])


def test_pages_hold_each_verdict_once_in_the_order_of_submission(engine: Engine, ann: TestClient) -> None:
    job_id = submit_job_of(engine, 10)
    finish_waiting_chunks(engine)
    pages = walked(ann, f"/v1/jobs/{job_id}/verdicts", limit=4)
    usual = walked(ann, f"/v1/jobs/{job_id}/verdicts")

    assert [len(page) for page in pages] == [4, 4, 2]
    assert (
        [*pages[0], *pages[1], *pages[2]]
        == usual[0]
        == list(map(to_json, find_verdicts(engine, VerdictFilter(job_id=job_id))))
    )
    assert tuple(usual[0][0]) == VERDICT_KEYS


def test_each_media_type_holds_what_the_pages_hold(engine: Engine, ann: TestClient) -> None:
    job_id = submit_job_of(engine, PAGE + 3, chunk_size=PAGE)
    finish_waiting_chunks(engine, Outcome.ERROR)
    address = f"/v1/jobs/{job_id}/verdicts"
    expected = list(map(to_json, find_verdicts(engine, VerdictFilter(job_id=job_id))))

    def fetched(kind: str) -> httpx.Response:
        answer: httpx.Response = ann.get(address, headers={"Accept": kind})
        assert answer.headers["content-type"].partition(";")[0] == kind
        return answer

    lines = fetched("application/x-ndjson").text.splitlines()
    rows = list(csv.DictReader(io.StringIO(fetched("text/csv").text)))
    table = parquet.read_table(io.BytesIO(fetched("application/vnd.apache.parquet").content)).to_pylist()
    few = ann.get(address, params={"limit": 2}, headers={"Accept": "application/x-ndjson"}).text.splitlines()
    none = ann.get(address, params={"outcome": "stego"}, headers={"Accept": "text/csv"}).text

    assert [json.loads(line) for line in lines] == expected
    assert rows == [{name: "" if value is None else str(value) for name, value in each.items()} for each in expected]
    assert [{**row, "scanned_at": row["scanned_at"].isoformat()} for row in table] == expected
    assert [json.loads(line)["ordinal"] for line in few] == [0, 1]
    assert none == ",".join(VERDICT_KEYS) + "\n"


def test_csv_for_spreadsheets_has_no_formula(engine: Engine, ann: TestClient) -> None:
    submit_job(engine, ["=1+1", "plain"], submitter="ann")
    finish_waiting_chunks(engine)

    def read_uris(**parameters: Any) -> list[str]:
        answer = ann.get("/v1/verdicts", params=parameters, headers={"Accept": "text/csv"})
        return sorted(row["uri"] for row in csv.DictReader(io.StringIO(answer.text, newline="")))

    assert read_uris() == ["=1+1", "plain"]
    assert read_uris(spreadsheet=True) == ["'=1+1", "plain"]


@pytest.mark.parametrize("kind", STREAMED)
def test_a_stream_reads_no_further_than_its_reader_and_holds_little(kind: str) -> None:
    read = []
    verdict = from_json(Verdict, EXAMPLE)

    def found() -> Iterator[Verdict]:
        for ordinal in range(3 * ROW_GROUP):
            read.append(ordinal)
            yield replace(verdict, ordinal=ordinal)

    async def pieces() -> list[tuple[int, int]]:
        return [(len(piece), len(read)) async for piece in stream_verdicts(found(), kind).body_iterator]

    told = asyncio.run(pieces())

    step = ROW_GROUP if "parquet" in kind else PAGE
    reads = [count for _, count in told]
    assert reads[0] <= step
    assert all(later - earlier <= step for earlier, later in itertools.pairwise(reads))
    assert max(size for size, _ in told) < 1000 * step


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/*, */*;q=0.1", "text/csv"),
        ("application/json;q=0.2, application/x-ndjson", "application/x-ndjson"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("application/json;q=0, */*", "application/x-ndjson"),
        ("TEXT/CSV ; q=0.5, application/json;q=oops", "text/csv"),
    ],
)
def test_the_media_type_that_is_preferred_is_chosen(accept: str, chosen: str) -> None:
    assert negotiate(accept) == chosen


def test_filters_are_those_of_the_command(engine: Engine, ann: TestClient) -> None:
    clean, failed = submit_job_of(engine, 4), submit_job_of(engine, 4)
    first, second = claim_waiting_chunks(engine)
    finish_chunk(engine, first, make_verdicts(engine, first))
    finish_chunk(engine, second, make_verdicts(engine, second, Outcome.ERROR))
    execute(engine, f"UPDATE verdicts SET scanned_at = '2026-01-01T00:00Z' WHERE ordinal = 0 AND job_id = '{clean}'")

    def counted(**parameters: Any) -> int:
        return sum(len(page) for page in walked(ann, "/v1/verdicts", limit=3, **parameters))

    assert counted() == 8
    assert counted(outcome="error") == counted(error_code="empty") == counted(job_id=str(failed)) == 4
    assert counted(error_code=["empty", "corrupt"], job_id=str(clean)) == counted(method="raw") == 0
    assert counted(sha256="00" * 32) == counted(outcome="clean") == 4
    assert counted(until="2026-01-01T00:00:01") == counted(until="2026-01-01T02:00:01+02:00") == 1
    assert counted(since="2026-01-01T00:00:01Z") == 7
    newest = walked(ann, "/v1/verdicts", limit=3)
    assert newest[-1][-1]["scanned_at"].startswith("2026-01-01")


def test_everybody_sees_the_verdicts_of_his_own_jobs_and_an_admin_all(engine: Engine, api: Api) -> None:
    job_id = submit_job_of(engine, 4, submitter="ann")
    submit_job_of(engine, 3, submitter="bob")
    finish_waiting_chunks(engine)
    digest = "00" * 32

    for name, scope, total in (("ann", "read", 4), ("bob", "read", 3), ("root", "admin", 7)):
        with api.connect_as(name, scope) as someone:
            for address in ("/v1/verdicts", f"/v1/images/{digest}", f"/v1/images/{digest.upper()}"):
                assert sum(len(page) for page in walked(someone, address, limit=2)) == total
            lines = someone.get("/v1/verdicts", headers={"Accept": "application/x-ndjson"}).text.splitlines()
            assert len(lines) == total
            assert walked(someone, f"/v1/images/{'ab' * 32}") == [[]]
            for path in (f"/v1/jobs/{job_id}/verdicts", f"/v1/jobs/{job_id}/events"):
                assert someone.get(path).status_code == (404 if name == "bob" else 200)


WRONG = {
    "verdicts?limit=0": "limit",
    "verdicts?cursor=abc": "cursor",
    "verdicts?cursor=%00": "cursor",
    "verdicts?cursor=MjAyNiBhIGI=": "cursor",
    "verdicts?outcome=odd": "outcome",
    "verdicts?method=f5": "method",
    "verdicts?since=yesterday": "since",
    "verdicts?until=2026-01-01&since=2026-01-02": "query.until",
    "verdicts?error_code=none": "error_code",
    "verdicts?job_id=7": "job_id",
    "verdicts?outcom=stego": "outcom",
    "verdicts?sha256=%00": "sha256",
    "verdicts?inscription=7": "inscription",
    "images/abc": "sha256",
}


def test_one_verdict_comes_with_its_provenance_to_those_who_may_see_it(engine: Engine, api: Api) -> None:
    job_id = submit_job_of(engine, 3, submitter="ann")
    ann, bob = api.connect_as("ann"), api.connect_as("bob")
    finish_waiting_chunks(engine)

    shown = ann.get(f"/v1/jobs/{job_id}/verdicts/1").json()

    (listed,) = [each for each in ann.get(f"/v1/jobs/{job_id}/verdicts").json()["verdicts"] if each["ordinal"] == 1]
    assert shown == {**listed, "provenance": to_json(require_provenance(engine, job_id, 1))}
    assert shown["provenance"]["worker"] == "cpu0@here"
    read_problem(bob.get(f"/v1/jobs/{job_id}/verdicts/1"), 404)
    for ordinal, status in (("3", 404), (str(2**31), 422), ("-1", 422), ("x", 422)):
        read_problem(ann.get(f"/v1/jobs/{job_id}/verdicts/{ordinal}"), status)


def test_a_job_is_verified_for_those_who_may_see_it(engine: Engine, api: Api) -> None:
    job_id = submit_job_of(engine, 3, submitter="ann")
    ann, bob = api.connect_as("ann"), api.connect_as("bob")
    assert "not ended" in str(read_problem(ann.get(f"/v1/jobs/{job_id}/verification"), 409)["detail"])
    finish_waiting_chunks(engine)
    seal_ended_jobs(engine)

    assert ann.get(f"/v1/jobs/{job_id}/verification").json()["intact"]
    execute(engine, "UPDATE verdicts SET width = 1 WHERE ordinal = 2")
    verified = ann.get(f"/v1/jobs/{job_id}/verification").json()

    assert from_json(Verification, verified) == verify_job(engine, job_id)
    assert verified["changed"] == [2]
    read_problem(bob.get(f"/v1/jobs/{job_id}/verification"), 404)
    with api.service.verifying.hold():
        assert ann.get(f"/v1/jobs/{job_id}/verification").headers["retry-after"]


def test_a_wrong_parameter_is_named_and_an_unknown_media_type_refused(ann: TestClient) -> None:
    for address, field in WRONG.items():
        document = read_problem(ann.get(f"/v1/{address}"), 422)
        assert field in str(document["errors"]), address
    read_problem(ann.get("/v1/verdicts", headers={"Accept": "image/png"}), 406)


def test_events_come_as_verdicts_land_and_go_on_behind_the_last_one_seen(engine: Engine, address: str) -> None:
    job_id = submit_job_of(engine, 12)
    events = f"/v1/jobs/{job_id}/events"
    key = {"Authorization": f"Bearer {create_key(engine, 'ann', ['read'])}"}
    seen = []

    with httpx.Client(base_url=address, headers=key, timeout=PATIENCE_S) as ann:
        with ann.stream("GET", events) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            for data in blocks(stream):
                seen += parse_events(data)
                if len(list_ordinals(seen)) == 6:
                    break
                if seen[-1][0] == "progress":
                    finish_last_chunk(engine)
        finish_waiting_chunks(engine)
        rest = parse_events(ann.get(events, headers={"Last-Event-ID": seen[-1][1]}).content)
        ended = ann.get(events, headers={"Last-Event-ID": rest[-1][1]})
        read_problem(ann.get(events, headers={"Last-Event-ID": "7"}), 422)
        job = ann.get(f"/v1/jobs/{job_id}").json()

    assert sorted(list_ordinals(seen + rest)) == list(range(12))
    assert [name for name, _, _ in rest] == ["verdict"] * 6 + ["progress", "done"]
    assert rest[-1][2] == job
    assert ended.status_code == 204


def blocks(stream: httpx.Response) -> Iterator[bytes]:
    """Yield the events as blocks of text."""
    lines: list[str] = []
    for line in stream.iter_lines():
        lines.append(line)
        if not line:
            yield "\n".join(lines).encode() + b"\n"
            lines = []


def test_statistics_tell_what_was_done_what_waits_and_who_works(engine: Engine, ann: TestClient) -> None:
    submit_job_of(engine, 4, submitter="bob")
    finish_waiting_chunks(engine, Outcome.ERROR)
    submit_job_of(engine, 8, submitter="bob")
    report_worker(engine, "cpu0@here", "cpu0", register_v4(engine))

    figures = ann.get("/v1/stats").json()

    assert figures["outcomes"] == {"clean": 0, "stego": 0, "error": 4}
    assert figures["waiting"] == {"pending": 8, "dispatched": 0, "running": 0}
    assert (figures["submitted"], figures["images_per_minute"], figures["target_images_per_minute"]) == (12, 4, 1000)
    assert 0 < figures["oldest_waiting_s"] < 600
    assert [(worker["name"], worker["device"]) for worker in figures["workers"]] == [("cpu0@here", "cpu0")]
