"""Objects that a key may not name: no spelling of their names is accepted."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from producer.api.problems import ProblemError
from producer.api.references import check_references
from producer.sources.permitted import Permitted
from starlight_vocabulary.words import Scope
from storage.buckets import read_location
from storage.jobs import list_jobs
from storage.keys import ApiKey, KeyNameError, create_key, find_key, list_keys
from storage.submission import Reference
from tests.attacks.conftest import ServedApi
from tests.kit.rows import execute

OWN = ("s3://own", "s3://shared/mallory/", "s3://shared/a%20b%2541")
KEY = ApiKey("mallory", "0", (Scope.SUBMIT,), datetime.now(UTC), None, tuple(map(read_location, OWN)))


def check(key: ApiKey, reference: str) -> list[Reference]:
    permitted = Permitted((), key.may_name)
    return list(check_references(["https://example.com/1.png", reference], permitted, list_none, list_none))


def list_none(source: object) -> Iterator[Any]:
    raise AssertionError(f"{source} was listed")


@pytest.mark.parametrize(
    "reference",
    [
        "s3://own/1.png", "s3://own/any/where.png", "s3://shared/mallory/1.png", "s3://shared/mallory",
        "s3://shared/mallor%79/1.png", "s3://shared/mallory/a%2Fb.png", "s3://shared/a%20b%2541/1.png",
    ],
)  # fmt: skip
def test_what_lies_in_its_buckets_may_be_named(reference: str) -> None:
    assert check(KEY, reference)[1] == reference


@pytest.mark.parametrize(
    "reference",
    [
        "s3://other/1.png", "s3://shared/1.png", "s3://shared/", "s3://shared", "s3://shared/malloryx/1.png",
        "s3://shared/mallory.png", "s3://shared/Mallory/1.png", "s3://shared/mallory/../ann/1.png",
        "s3://shared/mallory/%2e%2e/ann/1.png", "s3://shared/mallory%2F..%2Fann/1.png", "s3://shared/mallory/./1.png",
        "s3://shared/mallory//1.png", "s3://shared/ann%2F..%2Fmallory/1.png", "s3://shared/mallory%5C..%5Cann/1.png",
        "s3://shared/%6d%61llory%2e/1.png", "s3://shared/?/mallory/1.png", "s3://shared/#/mallory/1.png",
        "s3://shared%2Fmallory/1.png", "s3://own@other/1.png", "s3://own:1@other/1.png", "s3://own:9/1.png",
        "s3://OWN/1.png", "s3://own./1.png", "s3://own%00/1.png", "s3://own\\other/1.png", "s3:///own/1.png",
        "s3://shared/a%20bA/1.png", "s3://../own/1.png", "S3://other/1.png", "s3a://own/1.png",
        "gs://own/1.png", "az://own/1.png", "s3://shared/mallor/", "s3://shared//", "s3://other",
    ],
)  # fmt: skip
def test_what_lies_outside_may_not_be_named_however_it_is_spelled(reference: str) -> None:
    with pytest.raises(ProblemError) as refusal:
        check(KEY, reference)

    assert refusal.value.status == 422
    assert refusal.value.detail.startswith("references.1: ")


def test_a_new_key_names_no_object_until_it_is_told_which(served: ServedApi) -> None:
    own = create_key(served.engine, "mallory", ["submit"], OWN)
    admin = create_key(served.engine, "root", ["admin"])
    older = create_key(served.engine, "older", ["submit"])
    execute(served.engine, "UPDATE api_keys SET buckets = NULL WHERE name = 'older'")

    statuses = {
        (name, bucket): httpx.post(
            f"http://127.0.0.1:{served.port}/v1/jobs",
            json={"references": [f"s3://{bucket}/1.png"]},
            headers={"Authorization": f"Bearer {key}"},
        ).status_code
        for name, key in (("new", served.key), ("own", own), ("admin", admin), ("older", older))
        for bucket in ("own", "other")
    }

    assert {name for name, status in statuses.items() if status == 202} == {
        ("own", "own"), ("admin", "own"), ("admin", "other"), ("older", "own"), ("older", "other"),
    }  # fmt: skip
    assert set(statuses.values()) == {202, 422}
    assert len(list_jobs(served.engine)) == 5


def test_buckets_are_stored_as_they_are_understood(engine: Engine) -> None:
    found = find_key(engine, create_key(engine, "mallory", ["submit"], OWN))

    assert found is not None
    assert found.buckets is not None
    assert set(found.buckets) == set(map(read_location, OWN)) == set(list_keys(engine)[0].buckets or ())


@pytest.mark.parametrize("bucket", ["", "own", "s3://", "s3://B", "https://own", "s3://own/../x", "s3://own/a//x"])
def test_what_is_no_bucket_is_given_to_no_key(engine: Engine, bucket: str) -> None:
    with pytest.raises(KeyNameError, match="s3://BUCKET"):
        create_key(engine, "mallory", ["submit"], [bucket])
