"""Jobs with sources: what is refused before anything is listed."""

from typing import Any

import pytest
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from storage import listings
from tests.kit.api import Api, read_problem
from tests.kit.listings import submit_sources
from tests.kit.object_store import ObjectStore

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
    other = submit_sources(api.connect_as("bob", buckets=["s3://bucket"]), uris=["s3://bucket/p/"])
    sources = {"uris": ["s3://bucket/p/"], "since": other["id"]}

    read_problem(ann.post("/v1/jobs", json={"sources": sources}), 404)
    read_problem(ann.post("/v1/jobs", json={"sources": {"uris": ["bitcoin:block/1"]}}), 501)
    read_problem(ann.post("/v1/jobs", json={"sources": sources, "references": ["https://a.example/"]}), 422)
    read_problem(ann.post("/v1/jobs", json={"name": "june"}), 422)


def test_a_key_has_so_many_listings_at_once(
    ann: TestClient, stored: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings, "MOST_OPEN", 1)
    submit_sources(ann, uris=["s3://bucket/p/"])

    read_problem(ann.post("/v1/jobs", json={"sources": {"uris": ["s3://bucket/p/"]}}), 429)


def test_an_idempotency_key_means_the_earlier_job(ann: TestClient, stored: ObjectStore) -> None:
    asked = {"sources": {"uris": ["s3://bucket/p/"]}}
    headers = {"Idempotency-Key": "june"}

    first, second = (ann.post("/v1/jobs", json=asked, headers=headers).json()["id"] for _ in range(2))

    assert first == second
