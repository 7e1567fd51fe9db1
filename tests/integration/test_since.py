"""Jobs with the objects of a bucket that changed since an earlier job."""

import uuid

import pytest
from sqlalchemy import Engine, text

from producer.sources.known_versions import KnownVersions
from producer.sources.listing import list_prefix, read_prefix
from starlight_vocabulary.words import Priority
from storage.dispatch import recover_lost_chunk
from storage.listed_versions import list_versions
from storage.purging import EndedJobs, purge_jobs
from storage.submission import EmptyJobError, submit_job
from tests.kit.object_store import ObjectStore
from tests.kit.rows import execute, pick_ids


@pytest.fixture
def stored(object_store: ObjectStore) -> ObjectStore:
    for name in "abc":
        object_store.objects[f"/bucket/p/{name}"] = name.encode()
    return object_store


def submit(engine: Engine, since: uuid.UUID | None = None) -> uuid.UUID:
    known = None if since is None else KnownVersions(list_versions(engine, since))
    references = list_prefix(read_prefix("s3://bucket/p/"), known=known)
    return submit_job(engine, references, submitter="ann", since=since, chunk_size=2).job_id


def read_names(engine: Engine, job_id: uuid.UUID) -> str:
    query = text("SELECT unnest(refs) FROM chunks WHERE job_id = :id ORDER BY first_ordinal")
    with engine.connect() as connection:
        return "".join(uri[-1] for uri in connection.execute(query, {"id": job_id}).scalars())


def test_each_job_has_what_changed_since_all_before_it(engine: Engine, stored: ObjectStore) -> None:
    first = submit(engine)
    with pytest.raises(EmptyJobError):
        submit(engine, first)

    stored.objects["/bucket/p/b"] = b"second"
    second = submit(engine, first)
    stored.objects["/bucket/p/d"] = b"third"
    third = submit(engine, second)
    stored.objects["/bucket/p/b"] = b"b"
    fourth = submit(engine, third)

    assert [read_names(engine, each) for each in (first, second, third, fourth)] == ["abc", "b", "d", "b"]
    # Compared with the first job, more has changed.
    assert read_names(engine, submit(engine, second)) == "bd"


def test_versions_outlive_a_split(engine: Engine, stored: ObjectStore) -> None:
    job_id = submit(engine)
    pick_ids(engine, Priority.BULK, 10)
    for _ in range(2):
        execute(engine, "UPDATE chunks SET state = 'running', lease_until = now() - interval '1 hour'")
        execute(engine, "UPDATE chunks SET losses = 1 WHERE cardinality(refs) = 2")
        while recover_lost_chunk(engine, 9, 0.0):
            pass

    assert len(read_names(engine, job_id)) == 3
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM chunks")).scalar_one() == 3
    with pytest.raises(EmptyJobError):
        submit(engine, job_id)


def test_what_only_a_purged_job_knew_is_submitted_again(engine: Engine, stored: ObjectStore) -> None:
    first = submit(engine)
    stored.objects["/bucket/p/d"] = b"d"
    second = submit(engine, first)
    execute(engine, "UPDATE jobs SET state = 'done', finished_at = now(), error = total WHERE since IS NULL")

    list(purge_jobs(engine, EndedJobs([first]), only_blobs=False))

    assert read_names(engine, submit(engine, second)) == "abc"
