"""What is listed in the background: prefixes, manifests, archives and blocks, within the limits of a key."""

import io
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from storage.jobs import cancel_job
from storage.purging import EndedJobs, purge_jobs
from storage.settings import Settings
from storage.totals import Total, read_totals
from tests.kit.api import Api, read_problem
from tests.kit.archives import pack_zip
from tests.kit.chain import inscribe, make_script, spend
from tests.kit.chain_node import serve_chain
from tests.kit.listings import PICTURE, SMALL, list_here, list_image_names, show_listing, submit_sources
from tests.kit.object_store import ObjectStore
from tests.kit.rows import finish_waiting_chunks


def test_only_what_changed_since_a_job_is_taken(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings
) -> None:
    first = submit_sources(ann, uris=["s3://bucket/p/"])
    read_problem(ann.post("/v1/jobs", json={"sources": {"uris": ["s3://bucket/p/"], "since": first["id"]}}), 409)
    list_here(engine, api_settings)
    finish_waiting_chunks(engine)
    nothing = submit_sources(ann, uris=["s3://bucket/p/"], since=first["id"])
    list_here(engine, api_settings)
    assert show_listing(ann, nothing) == ("done", None, "done", 0)

    stored.objects["/bucket/p/3.png"] = b"another"
    second = submit_sources(ann, uris=["s3://bucket/p/"], since=nothing["id"])
    list_here(engine, api_settings)

    assert show_listing(ann, second) == ("done", None, "pending", 1)
    assert list_image_names(engine)[-1] == "3.png"
    with engine.connect() as connection:
        assert read_totals(connection).get(Total.IMAGES_SUBMITTED) == 14


def test_manifests_name_what_the_key_may_name_and_nothing_else(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings
) -> None:
    table = pa.table({"picture": [PICTURE, None, b"second"]})
    pq.write_table(table, packed := io.BytesIO())
    stored.objects["/bucket/m.parquet"] = packed.getvalue()
    stored.objects["/bucket/m.csv"] = b"n,where\n1,https://example.com/1.png\n2,s3://bucket/p/1.png\n"
    report = submit_sources(ann, manifests=["s3://bucket/m.csv"], column="where")
    list_here(engine, api_settings)
    assert show_listing(ann, report) == ("done", None, "pending", 2)
    report = submit_sources(ann, manifests=["s3://bucket/m.parquet"], column="picture")
    list_here(engine, api_settings, turn_s=0, **SMALL)
    assert show_listing(ann, report) == ("done", None, "pending", 2)

    for row in (
        "s3://other/1.png",
        "file:///etc/passwd",
        "/etc/passwd",
        f"blob://{'0' * 64}/1.png",
        "s3://other/4.tar#bytes=0+9&of=x&name=y",
        "http://169.254.169.254/",
    ):
        stored.objects["/bucket/m.csv"] = f"where\nhttps://example.com/1.png\n{row}\n".encode()
        report = submit_sources(ann, manifests=["s3://bucket/m.csv"], column="where")
        list_here(engine, api_settings)
        state, error, _, total = show_listing(ann, report)
        # The references before the failure are scanned.
        assert (state, total) == ("failed", 2), row
        assert error is not None
        assert "m.csv" in error, row
    inventory = '{"destinationBucket": "arn:aws:s3:::other", "files": [{"key": "1.png"}], "fileSchema": "Bucket, Key"}'
    stored.objects["/bucket/manifest.json"] = inventory.encode()
    report = submit_sources(ann, manifests=["s3://bucket/manifest.json"])
    list_here(engine, api_settings)
    assert "is outside the buckets of this key" in str(show_listing(ann, report)[1])


def test_blobs_of_a_listing_are_kept_for_its_job_and_go_with_it(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings
) -> None:
    stored.objects["/bucket/p.zip"] = pack_zip({"a.png": PICTURE})
    report = submit_sources(ann, uris=["s3://bucket/p.zip"])
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
        report = submit_sources(ann, uris=["s3://bucket/p.zip"])
        list_here(engine, api_settings, **changed)
        told.append(show_listing(ann, report))

    assert [(state, total) for state, _, _, total in told] == [("failed", 1)] * 2
    assert "would store" in str(told[0][1])
    assert "STARLIGHT_MAX_ARCHIVE_MEMBERS" in str(told[1][1])


@pytest.fixture
def with_node(api: Api) -> Iterator[Api]:
    with serve_chain() as node:
        node.add(spend(make_script(inscribe(PICTURE), inscribe(b"text", "text/plain"))))
        node.add(spend(make_script(inscribe(PICTURE))))
        changed = api.service.settings.model_copy(update={"bitcoin_url": node.urls["rest"]})
        yield Api(replace(api.service, settings=changed))


def test_blocks_of_the_chain_are_a_source(engine: Engine, with_node: Api) -> None:
    client = with_node.connect_as("ann")
    report = submit_sources(client, uris=["bitcoin:blocks/1-2"])
    missing = submit_sources(client, uris=["bitcoin:block/9"])

    for _ in range(2):
        list_here(engine, with_node.service.settings)

    assert show_listing(client, report) == ("done", None, "pending", 2)
    assert show_listing(client, missing)[:2] == ("failed", "there is no block 9 yet: the newest is 2")


def test_references_of_the_chain_are_expanded_at_once(engine: Engine, with_node: Api) -> None:
    client = with_node.connect_as("ann")

    job = client.post("/v1/jobs", json={"references": ["bitcoin:block/1", "https://example.com/1.png"]})
    missing = client.post("/v1/jobs", json={"references": ["bitcoin:block/9"]})
    several = client.post("/v1/jobs", json={"references": ["bitcoin:blocks/1-2"]})

    assert (job.status_code, job.json()["total"]) == (202, 2)
    assert "references.0: there is no block 9 yet" in str(read_problem(missing, 422)["detail"])
    assert "submit it under `sources`" in str(read_problem(several, 422)["detail"])


def test_nothing_found_is_told(engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings) -> None:
    report = submit_sources(ann, uris=["s3://bucket/none/"])
    missing = submit_sources(ann, uris=["s3://bucket/none.tar"])
    for _ in range(2):
        list_here(engine, api_settings)

    assert show_listing(ann, report)[::2] == ("failed", "done")
    assert "no image was found" in str(show_listing(ann, report)[1])
    # The same as for any other reference to a missing object.
    assert show_listing(ann, missing) == ("done", None, "pending", 1)
    assert cancel_job(engine, missing["id"]) == 1
