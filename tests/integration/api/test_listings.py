"""Jobs whose sources are listed in the background, with processes that die and servers that refuse meanwhile."""

import os
import subprocess
import sys

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from producer.dispatching.listing_runner import ListingRunner
from producer.listing_jobs import ATTEMPTS, Lister
from storage.audits import audit_jobs
from storage.listings import ListingLostError, claim_listing, renew_listing
from storage.settings import Settings
from storage.totals import Total, read_totals
from tests.kit.archives import pack_tar
from tests.kit.listings import EXPIRE, PICTURE, SMALL, list_here, list_image_names, show_listing, submit_sources
from tests.kit.object_store import ObjectStore
from tests.kit.rows import execute, finish_waiting_chunks


@pytest.fixture
def environment(api_settings: Settings) -> dict[str, str]:
    assert api_settings.database_url is not None
    return {
        "STARLIGHT_DATABASE_URL": api_settings.database_url,
        "STARLIGHT_DATA_DIR": str(api_settings.data_dir),
        "STARLIGHT_CHUNK_SIZE": "1",
    }


ALL = ["0.png", "1.png", "2.png", "3.png", "4.png", "a.png", "b.png", *(f"{number}.png" for number in range(5, 10))]


def test_a_prefix_is_listed_and_the_job_ends_with_its_images(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings, environment: dict[str, str]
) -> None:
    report = submit_sources(ann, uris=["s3://bucket/p/"], include=["*.png"], exclude=["9.*"])

    list_here(engine, api_settings)

    assert not ListingRunner(engine, environment).list_next()
    assert show_listing(ann, report) == ("done", None, "pending", 11)
    assert list_image_names(engine) == ALL[:-1]
    finish_waiting_chunks(engine)
    assert show_listing(ann, report)[2:] == ("done", 11)
    assert all(audited.exact for audited in audit_jobs(engine))
    with engine.connect() as connection:
        assert read_totals(connection).get(Total.IMAGES_SUBMITTED) == 11


def test_the_job_does_not_end_before_its_listing(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings
) -> None:
    report = submit_sources(ann, uris=["s3://bucket/p/"], include=["*.png"])

    turns = 0
    while show_listing(ann, report)[0] != "done":
        # With no time, a turn stores one transaction of eight chunks.
        list_here(engine, api_settings, turn_s=0, **SMALL)
        finish_waiting_chunks(engine)
        turns += 1

    assert turns == 2
    assert show_listing(ann, report) == ("done", None, "done", 12)
    assert list_image_names(engine) == ALL
    assert all(audited.exact for audited in audit_jobs(engine))


def test_after_a_death_it_goes_on_where_it_was(
    engine: Engine, ann: TestClient, stored: ObjectStore, environment: dict[str, str]
) -> None:
    stored.objects["/bucket/p/8.tar"] = stored.objects.pop("/bucket/p/4.tar")
    report = submit_sources(ann, uris=["s3://bucket/p/"], include=["*.png"])
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
    assert show_listing(ann, report) == ("running", None, "pending", 9)
    execute(engine, EXPIRE)
    assert ListingRunner(engine, environment).list_next()

    assert show_listing(ann, report) == ("done", None, "pending", 12)
    assert list_image_names(engine) == [*(f"{number}.png" for number in range(9)), "a.png", "b.png", "9.png"]


def test_what_was_stored_of_an_archive_is_not_stored_again(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings
) -> None:
    stored.objects["/bucket/p.tar"] = pack_tar({f"{number:02}.png": PICTURE for number in range(20)})
    report = submit_sources(ann, uris=["s3://bucket/p.tar", "s3://bucket/p/0.png"])

    turns = 0
    while show_listing(ann, report)[0] != "done":
        list_here(engine, api_settings, turn_s=0, **SMALL)
        turns += 1

    assert turns == 3
    assert list_image_names(engine) == [*(f"{number:02}.png" for number in range(20)), "0.png"]


@pytest.mark.parametrize("change", ["changed", "deleted"])
def test_what_changes_between_two_turns_is_refused_and_what_was_found_is_scanned(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings, change: str
) -> None:
    stored.objects["/bucket/q/p.tar"] = pack_tar({f"{number:02}.png": PICTURE for number in range(20)})
    report = submit_sources(ann, uris=["s3://bucket/q/"])
    list_here(engine, api_settings, turn_s=0, **SMALL)
    assert show_listing(ann, report) == ("waiting", None, "pending", 9)

    archive = stored.objects.pop("/bucket/q/p.tar")
    stored.objects["/bucket/q/z.png" if change == "deleted" else "/bucket/q/p.tar"] = archive + b"more"
    list_here(engine, api_settings)

    state, error, *_ = show_listing(ann, report)
    assert (state, error) == ("failed", "'s3://bucket/q/' changed while it was listed: submit it again")
    finish_waiting_chunks(engine)
    assert show_listing(ann, report)[2:] == ("done", 9)
    (failed,) = ann.get(report["links"]["verdicts"], params={"outcome": "error"}).json()["verdicts"]
    assert (failed["uri"], failed["error_code"], failed["ordinal"]) == ("s3://bucket/q/", "not_listed", 8)
    assert failed["error_detail"] == error
    assert all(audited.exact for audited in audit_jobs(engine))


def test_a_listing_waits_while_as_many_images_wait_as_may(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings
) -> None:
    report = submit_sources(ann, uris=["s3://bucket/p/"], include=["*.png"])
    few = {"max_waiting_images_per_key": 9}

    list_here(engine, api_settings, **few)
    assert show_listing(ann, report)[::3] == ("waiting", 9)
    assert "wait; with these it would be more than 9" in str(show_listing(ann, report)[1])
    assert claim_listing(engine) is None
    finish_waiting_chunks(engine)
    execute(engine, EXPIRE)
    list_here(engine, api_settings, **few)

    assert show_listing(ann, report) == ("done", None, "running", 12)
    assert list_image_names(engine) == ALL


def test_a_store_that_does_not_answer_is_asked_again_and_given_up_at_last(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings
) -> None:
    report = submit_sources(ann, uris=["s3://bucket/p/0.tar"])
    stored.objects["/bucket/p/0.tar"] = pack_tar({"a.png": PICTURE})
    stored.answers = False
    for _ in range(ATTEMPTS):
        assert show_listing(ann, report)[0] == "waiting"
        execute(engine, EXPIRE)
        list_here(engine, api_settings)

    state, error, ended, total = show_listing(ann, report)
    assert (state, ended, total) == ("failed", "done", 1)
    assert "s3://bucket does not answer: 503" in str(error)
    assert "submit it again later" in str(error)


def test_a_listing_that_ends_its_process_again_and_again_is_given_up(
    engine: Engine, ann: TestClient, stored: ObjectStore, environment: dict[str, str]
) -> None:
    report = submit_sources(ann, uris=["s3://bucket/p/"])
    for _ in range(ATTEMPTS):
        assert claim_listing(engine) is not None
        execute(engine, EXPIRE)

    assert ListingRunner(engine, environment).list_next()

    assert show_listing(ann, report)[:3] == ("failed", "its process crashed 5 times: see the log", "done")


def test_a_job_is_cancelled_while_it_is_listed(
    engine: Engine, ann: TestClient, stored: ObjectStore, api_settings: Settings
) -> None:
    report = submit_sources(ann, uris=["s3://bucket/p/"])
    list_here(engine, api_settings, turn_s=0, **SMALL)
    listing = claim_listing(engine)
    assert listing is not None

    assert ann.delete(report["links"]["job"]).json()["cancelled"] == 9

    assert show_listing(ann, report) == ("cancelled", None, "cancelled", 9)
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
    report = submit_sources(ann, uris=["s3://bucket/p/"])
    older = claim_listing(engine)
    assert older is not None
    execute(engine, EXPIRE)

    list_here(engine, api_settings)

    with pytest.raises(ListingLostError):
        Lister(engine, api_settings, older).run()
    assert show_listing(ann, report)[::3] == ("done", 13)
