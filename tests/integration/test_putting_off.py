"""Temporary failures: images are put off one by one, tried again in time, and given up after a limit."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from producer.following import Follower
from starlight_vocabulary.words import Outcome, Priority
from storage.audits import audit_jobs
from storage.blobs import Blobs
from storage.chunks import claim_chunk, finish_chunk, release_chunks
from storage.dispatch import recover_lost_chunk
from storage.jobs import cancel_job
from storage.lone_uploads import LoneImage, submit_lone_images
from storage.settings import Settings
from storage.storage_limits import StorageLimits
from storage.submission import submit_job
from storage.verdict_search import VerdictFilter, find_verdicts
from storage.waiting import WaitingLimits
from tests.kit.object_store import ObjectStore
from tests.kit.pictures import encode_pattern
from tests.kit.rows import (
    LEASE_S,
    claim_waiting_chunks,
    execute,
    expire_leases,
    make_verdicts,
    pick_ids,
    read_chunk_states,
    read_job,
    submit_job_of,
)
from tests.kit.threads import PATIENCE_S
from tests.kit.worker_process import run_worker_process
from worker.process import WorkerProcess

LONG_S = 3600.0
NO_LEASE = 0.0


def let_time_pass(engine: Engine) -> None:
    """End the waiting time of everything that was put off."""
    execute(engine, "UPDATE chunks SET not_before = now() WHERE not_before IS NOT NULL")


def test_what_is_put_off_waits_for_its_time_and_then_only_the_rest_is_scanned(engine: Engine) -> None:
    job_id = submit_job_of(engine, 6, chunk_size=6)
    (claim,) = claim_waiting_chunks(engine)
    verdicts = make_verdicts(engine, claim)

    assert finish_chunk(engine, claim, [verdicts[0], verdicts[2], verdicts[5]], LONG_S)

    assert read_job(engine, job_id).clean == 3
    assert pick_ids(engine, Priority.BULK, 1000) == []
    assert claim_chunk(engine, claim.chunk_id, "cpu0", LEASE_S) is None
    let_time_pass(engine)
    (again,) = claim_waiting_chunks(engine)
    assert again.images == [(ordinal, f"file:///image-{ordinal}") for ordinal in (1, 3, 4)]
    assert (again.tries, again.losses) == (1, 0)
    assert finish_chunk(engine, again, make_verdicts(engine, again, Outcome.ERROR))
    job = read_job(engine, job_id)
    assert (job.state, job.clean, job.error) == ("done", 3, 3)
    assert next(audit_jobs(engine, [job_id])).exact


def test_others_go_on_while_one_chunk_is_put_off(engine: Engine) -> None:
    job_id = submit_job_of(engine, 8)
    first, second = claim_waiting_chunks(engine)

    finish_chunk(engine, first, [], LONG_S)
    finish_chunk(engine, second, make_verdicts(engine, second))

    assert (read_job(engine, job_id).state, read_chunk_states(engine)) == ("running", ["pending", "done"])


def test_a_job_with_images_put_off_can_be_cancelled(engine: Engine) -> None:
    job_id = submit_job_of(engine, 4)
    (claim,) = claim_waiting_chunks(engine)
    finish_chunk(engine, claim, make_verdicts(engine, claim)[:3], LONG_S)

    assert cancel_job(engine, job_id) == 1

    job = read_job(engine, job_id)
    assert (job.state, job.clean, job.error) == ("cancelled", 3, 1)
    assert next(audit_jobs(engine, [job_id])).exact


def test_a_half_finished_chunk_that_kills_workers_is_split_without_what_has_its_verdict(engine: Engine) -> None:
    job_id = submit_job_of(engine, 4)
    (claim,) = claim_waiting_chunks(engine)
    finish_chunk(engine, claim, make_verdicts(engine, claim)[:2], LONG_S)
    let_time_pass(engine)
    for _ in range(2):
        claim_waiting_chunks(engine)
        expire_leases(engine)
        assert recover_lost_chunk(engine, 3, NO_LEASE)

    assert read_chunk_states(engine) == ["done", "done", "pending", "pending"]
    pieces = claim_waiting_chunks(engine)
    assert [piece.images for piece in pieces] == [[(2, "file:///image-2")], [(3, "file:///image-3")]]
    for piece in pieces:
        assert finish_chunk(engine, piece, make_verdicts(engine, piece))
    assert read_job(engine, job_id).state == "done"
    assert next(audit_jobs(engine, [job_id])).exact


def test_a_half_finished_chunk_can_be_given_back(engine: Engine) -> None:
    submit_job_of(engine, 4)
    (claim,) = claim_waiting_chunks(engine)
    finish_chunk(engine, claim, make_verdicts(engine, claim)[:2], LONG_S)
    let_time_pass(engine)
    (claim,) = claim_waiting_chunks(engine)

    release_chunks(engine, [claim])

    (again,) = claim_waiting_chunks(engine)
    assert again.images == claim.images


@pytest.mark.parametrize("ordered", [False, True])
def test_a_follower_sees_each_verdict_of_a_chunk_that_comes_in_parts_once(engine: Engine, ordered: bool) -> None:
    job_id = submit_job_of(engine, 6, chunk_size=6)
    follower = Follower(engine, job_id, ordered=ordered)
    updates = follower.follow()
    seen: list[int] = []

    def follow() -> None:
        for update in updates:
            seen.extend(verdict.ordinal for verdict in update.verdicts)

    with ThreadPoolExecutor() as pool:
        next(updates)
        followed = pool.submit(follow)
        while not read_job(engine, job_id).ended:
            (claim,) = claim_waiting_chunks(engine)
            verdicts = make_verdicts(engine, claim)
            more = len(verdicts) > 1
            finish_chunk(engine, claim, verdicts[1::2] if more else verdicts, LONG_S if more else None)
            let_time_pass(engine)
        followed.result(PATIENCE_S)

    assert sorted(seen) == list(range(6))
    assert not ordered or seen == sorted(seen)


@pytest.fixture
def images(tmp_path: Path, configured: Settings, object_store: ObjectStore) -> list[str]:
    """The references of a file, a blob, and a file that is not an image."""
    (tmp_path / "clean.png").write_bytes(encode_pattern("PNG"))
    (tmp_path / "none.png").write_bytes(b"none")
    digest = Blobs(object_store.url).put(encode_pattern("PNG", size=(5, 3)))
    return [(tmp_path / "clean.png").as_uri(), f"blob://{digest}/clean.png", (tmp_path / "none.png").as_uri()]


@pytest.fixture
def process(engine: Engine, configured: Settings, object_store: ObjectStore) -> Iterator[WorkerProcess]:
    settings = configured.model_copy(
        update={"blob_url": object_store.url, "max_tries": 3, "retry_first_s": LONG_S, "retry_longest_s": 1.5 * LONG_S}
    )
    with run_worker_process(engine, settings) as process:
        yield process


def scan_what_is_due(engine: Engine, process: WorkerProcess) -> list[str]:
    return [process.scan_chunk(chunk) for chunk in pick_ids(engine, Priority.BULK, 10)]


def pause_s(engine: Engine) -> float:
    with engine.connect() as connection:
        return float(connection.execute(text("SELECT extract(epoch FROM not_before - now()) FROM chunks")).scalar_one())


def test_lone_images_that_cannot_be_reached_are_put_off_and_then_scanned_alone(
    engine: Engine, process: WorkerProcess, object_store: ObjectStore
) -> None:
    images = [LoneImage("ann", f"{side}.png", encode_pattern("PNG", size=(side, 3)), None) for side in (4, 5)]
    limits = StorageLimits(None, 0), WaitingLimits(10, 10)
    jobs, _ = submit_lone_images(engine, Blobs(object_store.url), images, *limits)
    chunks = pick_ids(engine, Priority.INTERACTIVE, 10)
    object_store.answers = False

    assert process.scan_lone_chunks(chunks) == "2 put off"
    assert [read_job(engine, job_id).finished for job_id in jobs] == [0, 0]
    assert read_chunk_states(engine) == ["pending", "pending"]

    object_store.answers = True
    let_time_pass(engine)
    assert process.scan_lone_chunks(pick_ids(engine, Priority.INTERACTIVE, 10)) == "; ".join(["1 image: all clean"] * 2)
    assert all(audit.exact for audit in audit_jobs(engine, jobs))


def test_an_object_store_that_is_away_for_a_while_costs_time_alone(
    engine: Engine, process: WorkerProcess, object_store: ObjectStore, images: list[str]
) -> None:
    job_id = submit_job(engine, images, submitter="ann").job_id
    object_store.answers = False

    assert scan_what_is_due(engine, process) == ["2 images: 1 error; 1 put off for 3600 s"]
    assert LONG_S / 2 < pause_s(engine) <= LONG_S
    assert scan_what_is_due(engine, process) == []

    object_store.answers = True
    let_time_pass(engine)
    assert scan_what_is_due(engine, process) == ["1 image: all clean"]
    job = read_job(engine, job_id)
    assert (job.state, job.clean, job.error) == ("done", 2, 1)
    assert next(audit_jobs(engine, [job_id])).exact


def test_an_image_that_stays_away_ends_with_its_last_reason(
    engine: Engine, process: WorkerProcess, object_store: ObjectStore, images: list[str]
) -> None:
    job_id = submit_job(engine, images, submitter="ann").job_id
    object_store.answers = False

    scan_what_is_due(engine, process)
    let_time_pass(engine)
    assert scan_what_is_due(engine, process) == ["0 images: all clean; 1 put off for 5400 s"]
    let_time_pass(engine)
    assert scan_what_is_due(engine, process) == ["1 image: 1 error"]

    _, verdict, _ = find_verdicts(engine, VerdictFilter(job_id=job_id))
    assert verdict.error_code == "unavailable"
    assert "503" in str(verdict.error_detail)
    assert str(verdict.error_detail).endswith("(tried 3 times)")
    assert read_job(engine, job_id).state == "done"
    assert next(audit_jobs(engine, [job_id])).exact
