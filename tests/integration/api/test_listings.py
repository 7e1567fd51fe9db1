"""Jobs whose sources are listed in the background, with processes that die and servers that refuse meanwhile."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from producer.dispatching.listing_runner import ListingRunner
from producer.listing_jobs import ATTEMPTS, Lister
from storage import listings
from storage.audits import audit_jobs
from storage.jobs import cancel_job
from storage.listings import ListingLostError, claim_listing, renew_listing
from storage.purging import EndedJobs, purge_jobs
from storage.settings import Settings
from storage.totals import Total, read_totals
from tests.kit.api import Api, read_problem
from tests.kit.archives import pack_tar, pack_zip
from tests.kit.chain import inscribe, make_script, spend
from tests.kit.chain_node import serve_chain
from tests.kit.object_store import ObjectStore
from tests.kit.pictures import encode_pattern
from tests.kit.rows import execute, finish_waiting_chunks

PICTURE = encode_pattern()
EXPIRE = "UPDATE listings SET lease_until = now() - interval '1 s', next_at = now()"
SMALL = {"chunk_size": 1}


@pytest.fixture
def stored(object_store: ObjectStore) -> ObjectStore:
    """A bucket with ten pictures, an archive of two between them and a text, and a picture in another bucket."""
    for number in range(10):
        object_store.objects[f"/bucket/p/{number}.png"] = PICTURE
    object_store.objects["/bucket/p/4.tar"] = pack_tar({"a.png": PICTURE, "b.png": b"second"})
    object_store.objects["/bucket/p/notes.txt"] = b"none"
    object_store.objects["/other/1.png"] = PICTURE
    return object_store


@pytest.fixture
def environment(api_settings: Settings) -> dict[str, str]:
    assert api_settings.database_url is not None
    return {
        "STARLIGHT_DATABASE_URL": api_settings.database_url,
        "STARLIGHT_DATA_DIR": str(api_settings.data_dir),
        "STARLIGHT_CHUNK_SIZE": "1",
    }


def ask(client: TestClient, **sources: Any) -> dict[str, Any]:
    answer = client.post("/v1/jobs", json={"sources": sources, "name": "june"})
    assert answer.status_code == 202, answer.text
    report: dict[str, Any] = answer.json()
    assert (report["listing"], report["total"], report["finished"]) == ("waiting", 1, 0)
    return report


def list_here(engine: Engine, settings: Settings, *, turn_s: float = 60.0, **changed: Any) -> None:
    """Run a turn of the listing in this process."""
    listing = claim_listing(engine)
    assert listing is not None
    Lister(engine, settings.model_copy(update=changed), listing, turn_s=turn_s).run()


def show(client: TestClient, report: dict[str, Any]) -> tuple[str, str | None, str, int]:
    """Return the state and the error of the listing, and the state and the number of images of the job."""
    job = client.get(report["links"]["job"]).json()
    return job["listing"], job["listing_error"], job["state"], job["total"]


def list_names(engine: Engine) -> list[str]:
    """Return the last parts of the names of all references, in order."""
    query = text("SELECT unnest(refs) FROM chunks ORDER BY job_id, first_ordinal")
    with engine.connect() as connection:
        return [uri.rpartition("/")[2].rpartition("=")[2] for uri in connection.execute(query).scalars()]


ALL = ["0.png", "1.png", "2.png", "3.png", "4.png", "a.png", "b.png", *(f"{number}.png" for number in range(5, 10))]


def test_a_prefix_is_listed_and_the_job_ends_with_its_images(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings, environment: dict[str, str]
) -> None:
    report = ask(ann, uris=["s3://bucket/p/"], include=["*.png"], exclude=["9.*"])

    list_here(engine, api_settings)

    assert not ListingRunner(engine, environment).list_next()
    assert show(ann, report) == ("done", None, "pending", 11)
    assert list_names(engine) == ALL[:-1]
    finish_waiting_chunks(engine)
    assert show(ann, report)[2:] == ("done", 11)
    assert all(audited.exact for audited in audit_jobs(engine))
    with engine.connect() as connection:
        assert read_totals(connection).get(Total.IMAGES_SUBMITTED) == 11


def test_the_job_does_not_end_before_its_listing(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings
) -> None:
    report = ask(ann, uris=["s3://bucket/p/"], include=["*.png"])

    turns = 0
    while show(ann, report)[0] != "done":
        # With no time, a turn stores one transaction of eight chunks.
        list_here(engine, api_settings, turn_s=0, **SMALL)
        finish_waiting_chunks(engine)
        turns += 1

    assert turns == 2
    assert show(ann, report) == ("done", None, "done", 12)
    assert list_names(engine) == ALL
    assert all(audited.exact for audited in audit_jobs(engine))


def test_after_a_death_it_goes_on_where_it_was(
    engine: Engine, ann: TestClient, stored: ObjectStore, environment: dict[str, str]
) -> None:
    stored.objects["/bucket/p/8.tar"] = stored.objects.pop("/bucket/p/4.tar")
    report = ask(ann, uris=["s3://bucket/p/"], include=["*.png"])
    listing = claim_listing(engine)
    assert listing is not None
    arguments = [str(each) for each in (listing.job_id, listing.holder, os.getpid())]

    stored.may_answer.clear()
    command = [sys.executable, "-m", "producer.listing_jobs", *arguments]
    with subprocess.Popen(command, env={**os.environ, **environment}) as process:
        # The process waits for the archive. The references before it are stored, except for an incomplete group.
        stored.asked.wait()
        process.kill()
    stored.may_answer.set()
    assert show(ann, report) == ("running", None, "pending", 9)
    execute(engine, EXPIRE)
    assert ListingRunner(engine, environment).list_next()

    assert show(ann, report) == ("done", None, "pending", 12)
    assert list_names(engine) == [*(f"{number}.png" for number in range(9)), "a.png", "b.png", "9.png"]


def test_what_was_stored_of_an_archive_is_not_stored_again(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings
) -> None:
    stored.objects["/bucket/p.tar"] = pack_tar({f"{number:02}.png": PICTURE for number in range(20)})
    report = ask(ann, uris=["s3://bucket/p.tar", "s3://bucket/p/0.png"])

    turns = 0
    while show(ann, report)[0] != "done":
        list_here(engine, api_settings, turn_s=0, **SMALL)
        turns += 1

    assert turns == 3
    assert list_names(engine) == [*(f"{number:02}.png" for number in range(20)), "0.png"]


@pytest.mark.parametrize("change", ["changed", "deleted"])
def test_what_changes_between_two_turns_is_refused_and_what_was_found_is_scanned(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings, change: str
) -> None:
    stored.objects["/bucket/q/p.tar"] = pack_tar({f"{number:02}.png": PICTURE for number in range(20)})
    report = ask(ann, uris=["s3://bucket/q/"])
    list_here(engine, api_settings, turn_s=0, **SMALL)
    assert show(ann, report) == ("waiting", None, "pending", 9)

    archive = stored.objects.pop("/bucket/q/p.tar")
    stored.objects["/bucket/q/z.png" if change == "deleted" else "/bucket/q/p.tar"] = archive + b"more"
    list_here(engine, api_settings)

    state, error, *_ = show(ann, report)
    assert (state, error) == ("failed", "'s3://bucket/q/' changed while it was listed: submit it again")
    finish_waiting_chunks(engine)
    assert show(ann, report)[2:] == ("done", 9)
    (failed,) = ann.get(report["links"]["verdicts"], params={"outcome": "error"}).json()["verdicts"]
    assert (failed["uri"], failed["error_code"], failed["ordinal"]) == ("s3://bucket/q/", "not_listed", 8)
    assert failed["error_detail"] == error
    assert all(audited.exact for audited in audit_jobs(engine))


def test_only_what_changed_since_a_job_is_taken(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings
) -> None:
    first = ask(ann, uris=["s3://bucket/p/"])
    read_problem(ann.post("/v1/jobs", json={"sources": {"uris": ["s3://bucket/p/"], "since": first["id"]}}), 409)
    list_here(engine, api_settings)
    finish_waiting_chunks(engine)
    nothing = ask(ann, uris=["s3://bucket/p/"], since=first["id"])
    list_here(engine, api_settings)
    assert show(ann, nothing) == ("done", None, "done", 0)

    stored.objects["/bucket/p/3.png"] = b"another"
    second = ask(ann, uris=["s3://bucket/p/"], since=nothing["id"])
    list_here(engine, api_settings)

    assert show(ann, second) == ("done", None, "pending", 1)
    assert list_names(engine)[-1] == "3.png"
    with engine.connect() as connection:
        assert read_totals(connection).get(Total.IMAGES_SUBMITTED) == 14


def test_manifests_name_what_the_key_may_name_and_nothing_else(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings
) -> None:
    table = pa.table({"picture": [PICTURE, None, b"second"]})
    pq.write_table(table, packed := io.BytesIO())
    stored.objects["/bucket/m.parquet"] = packed.getvalue()
    stored.objects["/bucket/m.csv"] = b"n,where\n1,https://example.com/1.png\n2,s3://bucket/p/1.png\n"
    report = ask(ann, manifests=["s3://bucket/m.csv"], column="where")
    list_here(engine, api_settings)
    assert show(ann, report) == ("done", None, "pending", 2)
    report = ask(ann, manifests=["s3://bucket/m.parquet"], column="picture")
    list_here(engine, api_settings, turn_s=0, **SMALL)
    assert show(ann, report) == ("done", None, "pending", 2)

    for row in (
        "s3://other/1.png",
        "file:///etc/passwd",
        "/etc/passwd",
        f"blob://{'0' * 64}/1.png",
        "s3://other/4.tar#bytes=0+9&of=x&name=y",
        "http://169.254.169.254/",
    ):
        stored.objects["/bucket/m.csv"] = f"where\nhttps://example.com/1.png\n{row}\n".encode()
        report = ask(ann, manifests=["s3://bucket/m.csv"], column="where")
        list_here(engine, api_settings)
        state, error, _, total = show(ann, report)
        # The references before the failure are scanned.
        assert (state, total) == ("failed", 2), row
        assert error is not None
        assert "m.csv" in error, row
    inventory = '{"destinationBucket": "arn:aws:s3:::other", "files": [{"key": "1.png"}], "fileSchema": "Bucket, Key"}'
    stored.objects["/bucket/manifest.json"] = inventory.encode()
    report = ask(ann, manifests=["s3://bucket/manifest.json"])
    list_here(engine, api_settings)
    assert "is outside the buckets of this key" in str(show(ann, report)[1])


def test_blobs_of_a_listing_are_kept_for_its_job_and_go_with_it(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings
) -> None:
    stored.objects["/bucket/p.zip"] = pack_zip({"a.png": PICTURE})
    report = ask(ann, uris=["s3://bucket/p.zip"])
    list_here(engine, api_settings)
    kept = "SELECT (SELECT stored_bytes FROM submitters), (SELECT kept_blobs FROM jobs), (SELECT count(*) FROM uploads)"
    with engine.connect() as connection:
        assert connection.execute(text(kept)).one() == (len(PICTURE), "all", 0)
    finish_waiting_chunks(engine)

    list(purge_jobs(engine, EndedJobs([report["id"]]), only_blobs=False))

    with engine.connect() as connection:
        left = "SELECT (SELECT stored_bytes FROM submitters), (SELECT count(*) FROM listings)"
        assert connection.execute(text(left)).one() == (0, 0)


def test_more_than_may_be_stored_or_unpacked_is_told(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings
) -> None:
    stored.objects["/bucket/p.zip"] = pack_zip({"a.png": PICTURE, "b.png": b"2"})
    told = []
    for changed in ({"max_stored_bytes_per_key": 5}, {"max_archive_members": 1}):
        report = ask(ann, uris=["s3://bucket/p.zip"])
        list_here(engine, api_settings, **changed)
        told.append(show(ann, report))

    assert [(state, total) for state, _, _, total in told] == [("failed", 1)] * 2
    assert "would store" in str(told[0][1])
    assert "STARLIGHT_MAX_ARCHIVE_MEMBERS" in str(told[1][1])


def test_a_listing_waits_while_as_many_images_wait_as_may(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings
) -> None:
    report = ask(ann, uris=["s3://bucket/p/"], include=["*.png"])
    few = {"max_waiting_images_per_key": 9}

    list_here(engine, api_settings, **few)
    assert show(ann, report)[::3] == ("waiting", 9)
    assert "wait; with these it would be more than 9" in str(show(ann, report)[1])
    assert claim_listing(engine) is None
    finish_waiting_chunks(engine)
    execute(engine, EXPIRE)
    list_here(engine, api_settings, **few)

    assert show(ann, report) == ("done", None, "running", 12)
    assert list_names(engine) == ALL


def test_a_store_that_does_not_answer_is_asked_again_and_given_up_at_last(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings
) -> None:
    report = ask(ann, uris=["s3://bucket/p/0.tar"])
    stored.objects["/bucket/p/0.tar"] = pack_tar({"a.png": PICTURE})
    stored.answers = False
    for _ in range(ATTEMPTS):
        assert show(ann, report)[0] == "waiting"
        execute(engine, EXPIRE)
        list_here(engine, api_settings)

    state, error, ended, total = show(ann, report)
    assert (state, ended, total) == ("failed", "done", 1)
    assert "s3://bucket does not answer: 503" in str(error)
    assert "submit it again later" in str(error)


def test_a_listing_that_ends_its_process_again_and_again_is_given_up(
    engine: Engine, ann: TestClient, stored: ObjectStore, environment: dict[str, str]
) -> None:
    report = ask(ann, uris=["s3://bucket/p/"])
    for _ in range(ATTEMPTS):
        assert claim_listing(engine) is not None
        execute(engine, EXPIRE)

    assert ListingRunner(engine, environment).list_next()

    assert show(ann, report)[:3] == ("failed", "its process crashed 5 times: see the log", "done")


def test_a_job_is_cancelled_while_it_is_listed(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings
) -> None:
    report = ask(ann, uris=["s3://bucket/p/"])
    list_here(engine, api_settings, turn_s=0, **SMALL)
    listing = claim_listing(engine)
    assert listing is not None

    assert ann.delete(report["links"]["job"]).json()["cancelled"] == 9

    assert show(ann, report) == ("cancelled", None, "cancelled", 9)
    assert not renew_listing(engine, listing)
    with pytest.raises(ListingLostError):
        Lister(engine, api_settings, listing).run()
    assert claim_listing(engine) is None
    assert all(audited.exact for audited in audit_jobs(engine))
    with engine.connect() as connection:
        totals = read_totals(connection)
    assert totals.get(Total.IMAGES_SUBMITTED) == totals.get(Total.IMAGES_FINISHED, "error") == 9


def test_of_two_who_list_the_older_one_stores_nothing(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings
) -> None:
    report = ask(ann, uris=["s3://bucket/p/"])
    older = claim_listing(engine)
    assert older is not None
    execute(engine, EXPIRE)

    list_here(engine, api_settings)

    with pytest.raises(ListingLostError):
        Lister(engine, api_settings, older).run()
    assert show(ann, report)[::3] == ("done", 13)


@pytest.fixture
def with_node(api: Api) -> Iterator[Api]:
    with serve_chain() as node:
        node.add(spend(make_script(inscribe(PICTURE), inscribe(b"text", "text/plain"))))
        node.add(spend(make_script(inscribe(PICTURE))))
        changed = api.service.settings.model_copy(update={"bitcoin_url": node.urls["rest"]})
        yield Api(replace(api.service, settings=changed))


def test_blocks_of_the_chain_are_a_source(engine: Engine, with_node: Api) -> None:
    client = with_node.connect_as("ann")
    report = ask(client, uris=["bitcoin:blocks/1-2"])
    missing = ask(client, uris=["bitcoin:block/9"])

    for _ in range(2):
        list_here(engine, with_node.service.settings)

    assert show(client, report) == ("done", None, "pending", 2)
    assert show(client, missing)[:2] == ("failed", "there is no block 9 yet: the newest is 2")


def test_references_of_the_chain_are_expanded_at_once(engine: Engine, with_node: Api) -> None:
    client = with_node.connect_as("ann")

    job = client.post("/v1/jobs", json={"references": ["bitcoin:block/1", "https://example.com/1.png"]})
    missing = client.post("/v1/jobs", json={"references": ["bitcoin:block/9"]})
    several = client.post("/v1/jobs", json={"references": ["bitcoin:blocks/1-2"]})

    assert (job.status_code, job.json()["total"]) == (202, 2)
    assert "references.0: there is no block 9 yet" in str(read_problem(missing, 422)["detail"])
    assert "submit it under `sources`" in str(read_problem(several, 422)["detail"])


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "`uris` or `manifests` is required"),
    "a column alone": ({"uris": ["s3://bucket/p/"], "column": "x"}, "sources.column: applies to manifests only"),
    "another's bucket": ({"uris": ["s3://bucket/p/", "s3://other/"]}, "sources.uris.1: is outside the buckets"),
    "no bucket": ({"uris": ["https://example.com/"]}, "sources.uris.0: must be in a bucket"),
    "a file": ({"uris": ["file:///etc/"]}, "sources.uris.0: must be in a bucket"),
    "a file as manifest": ({"manifests": ["/etc/passwd"]}, "sources.manifests.0: must be in a bucket"),
    "a prefix as manifest": ({"manifests": ["s3://bucket/"]}, "sources.manifests.0: a manifest must be"),
    "no prefix": ({"uris": ["s3://bucket/1.tar"], "since": "0" * 32}, "sources.since: only prefixes"),
    "a password": ({"uris": ["s3://me:secret@bucket/"]}, "must not carry a user name"),
    "a way up": ({"uris": ["s3://bucket/../other/"]}, "is not a valid object name"),
    "NUL": ({"uris": ["s3://bucket/"], "include": ["\0"]}, "NUL"),
    "more": ({"uris": ["s3://bucket/"], "what": 1}, "body.sources.what"),
    "too many": ({"uris": ["s3://bucket/"] * 101}, "body.sources.uris"),
    "too long": ({"uris": ["s3://bucket/" + 4100 * "a"]}, "body.sources.uris.0"),
    "nothing of the chain": ({"uris": ["bitcoin:x"]}, "is not a chain source"),
}


def test_what_cannot_be_listed_is_refused_at_once(engine: Engine, ann: TestClient, object_store: ObjectStore) -> None:
    for wrong, (sources, reason) in WRONG.items():
        answer = ann.post("/v1/jobs", json={"sources": sources})
        assert reason in str(read_problem(answer, 422)["detail"]), wrong

    assert object_store.listings == 0
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM jobs")).scalar_one() == 0


def test_a_job_of_another_is_not_compared_with_and_both_kinds_are_too_many(
    api: Api, ann: TestClient, stored: ObjectStore
) -> None:
    other = ask(api.connect_as("bob", buckets=["s3://bucket"]), uris=["s3://bucket/p/"])
    sources = {"uris": ["s3://bucket/p/"], "since": other["id"]}

    read_problem(ann.post("/v1/jobs", json={"sources": sources}), 404)
    read_problem(ann.post("/v1/jobs", json={"sources": {"uris": ["bitcoin:block/1"]}}), 501)
    read_problem(ann.post("/v1/jobs", json={"sources": sources, "references": ["https://a.example/"]}), 422)
    read_problem(ann.post("/v1/jobs", json={"name": "june"}), 422)


def test_a_key_has_so_many_listings_at_once(
    ann: TestClient, stored: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings, "MOST_OPEN", 1)
    ask(ann, uris=["s3://bucket/p/"])

    read_problem(ann.post("/v1/jobs", json={"sources": {"uris": ["s3://bucket/p/"]}}), 429)


def test_an_idempotency_key_means_the_earlier_job(ann: TestClient, stored: ObjectStore) -> None:
    asked = {"sources": {"uris": ["s3://bucket/p/"]}}
    headers = {"Idempotency-Key": "june"}

    first, second = (ann.post("/v1/jobs", json=asked, headers=headers).json()["id"] for _ in range(2))

    assert first == second


def test_nothing_found_is_told(engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings) -> None:
    report = ask(ann, uris=["s3://bucket/none/"])
    missing = ask(ann, uris=["s3://bucket/none.tar"])
    for _ in range(2):
        list_here(engine, api_settings)

    assert show(ann, report)[::2] == ("failed", "done")
    assert "no image was found" in str(show(ann, report)[1])
    # The same as for any other reference to a missing object.
    assert show(ann, missing) == ("done", None, "pending", 1)
    assert cancel_job(engine, missing["id"]) == 1
