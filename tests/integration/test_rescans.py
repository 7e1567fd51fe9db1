"""Rescans of images that another model judged, and comparisons of two models."""

import hashlib
import random
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from starlight_vocabulary.comparison import DifferingFile
from starlight_vocabulary.rescan import Rescan
from starlight_vocabulary.words import Method, Outcome, Priority
from storage.blobs import Blobs
from storage.chunks import finish_chunk
from storage.comparisons import compare_models
from storage.dispatch import pick_chunks
from storage.models import ModelChoiceError, find_models, register_model
from storage.new_verdict import NewVerdict
from storage.rescans import Rescanning, list_rescans
from storage.settings import Settings
from storage.storage_limits import StorageLimits
from storage.submission import NO_OPTIONS, submit_job
from storage.time_limits import QueryTooLongError
from storage.uploads import Upload
from storage.verdict_search import VerdictFilter, find_verdicts
from storage.workers import report_worker
from tests.kit.detectors import HeldDetector
from tests.kit.pictures import encode_pattern
from tests.kit.rows import claim_waiting_chunks, execute, finish_waiting_chunks, read_job, register_v4
from worker.process import WorkerProcess

EVERYTHING = VerdictFilter()
STORE_ROW = text("""
    INSERT INTO verdicts (job_id, ordinal, landed, uri, outcome, sha256, stego_probability, method, error_code,
        model_id, scanned_at)
    SELECT :job, :ordinal, 0, 'file:///0', drawn.outcome, :sha256, CASE WHEN drawn.outcome <> 'error' THEN 0.5 END,
        :method, CASE WHEN drawn.outcome = 'error' THEN 'corrupt' END, :model, :time
    FROM (SELECT CAST(:outcome AS text) AS outcome) AS drawn
""")
STEGO = VerdictFilter(outcome=Outcome.STEGO)


@pytest.fixture
def older(engine: Engine) -> int:
    return register_model(engine, name="v4", version="1", sha256="ab" * 32, threshold=0.5)


@pytest.fixture
def newer(engine: Engine) -> int:
    return register_model(engine, name="v4", version="2", sha256="cd" * 32, threshold=0.5)


def hash_of(name: str) -> str:
    """Return the SHA-256 of the image with this name, in hex."""
    return hashlib.sha256(name.encode()).hexdigest()


def store(engine: Engine, model_id: int, *images: tuple[str, Method | None], submitter: str = "ann") -> uuid.UUID:
    """Store a job with this model's verdicts on images, given by name and method; without bytes, it is an error."""
    job_id = submit_job(engine, [f"file:///{name}" for name, _ in images], submitter=submitter, chunk_size=100).job_id
    (claim,) = claim_waiting_chunks(engine)
    verdicts = [
        NewVerdict(
            place, claim.refs[place], Outcome.STEGO if method else Outcome.CLEAN,
            bytes.fromhex(hash_of(name)),
            0.9 if method else 0.1, method, model_id=model_id,
        )
        for place, (name, method) in enumerate(images)
    ]  # fmt: skip
    assert finish_chunk(engine, claim, verdicts)
    return job_id


def rescan(engine: Engine, model_id: int, wanted: VerdictFilter = EVERYTHING, *, again: bool = False) -> list[Rescan]:
    key = str(uuid.uuid4()) if again else None
    return list(Rescanning(engine, [model_id], wanted, idempotency_key=key, chunk_size=2).submit_all())


def test_a_rescan_is_a_job_of_what_the_model_judged_in_order(engine: Engine, older: int, newer: int) -> None:
    job_id = store(engine, older, ("a", None), ("b", Method.RAW), ("c", None))
    store(engine, newer, ("a", None))
    execute(engine, f"UPDATE jobs SET threshold = 0.7, priority = 'interactive' WHERE id = '{job_id}'")

    (made,) = rescan(engine, older)

    assert made.job_id is not None
    job = read_job(engine, made.job_id)
    assert (made.rescan_of, made.images, made.gone, made.was_done) == (job_id, 3, 0, False)
    assert (job.rescan_of, job.retry_of, job.submitter, job.threshold) == (job_id, None, "ann", 0.7)
    assert (job.priority, job.total, job.state) == ("bulk", 3, "pending")
    claims = claim_waiting_chunks(engine)
    assert [claim.refs for claim in claims] == [["file:///a", "file:///b"], ["file:///c"]]
    assert all(claim.anew for claim in claims)
    assert list_rescans(engine, job_id) == [made.job_id]


def test_filters_narrow_what_is_scanned_again(engine: Engine, older: int) -> None:
    store(engine, older, ("a", None))
    found = store(engine, older, ("a", None), ("b", Method.RAW), submitter="bob")
    now = datetime.now(UTC)

    for wanted in (
        STEGO, VerdictFilter(method=Method.RAW), VerdictFilter(submitter="bob", outcome=Outcome.STEGO),
        VerdictFilter(job_id=found, min_probability=0.5), VerdictFilter(sha256=hash_of("b")),
        VerdictFilter(since=now - timedelta(hours=1), until=now + timedelta(hours=1), min_probability=0.5),
    ):  # fmt: skip
        assert [(each.rescan_of, each.images) for each in rescan(engine, older, wanted)] == [(found, 1)], wanted
    for wanted in (VerdictFilter(until=now - timedelta(hours=1)), VerdictFilter(submitter="eve")):
        assert rescan(engine, older, wanted) == []


def test_the_same_rescan_again_goes_on_where_it_was_broken_off(engine: Engine, older: int) -> None:
    jobs = [store(engine, older, (name, Method.RAW)) for name in "abc"]
    first = next(Rescanning(engine, [older], STEGO).submit_all())

    rest = rescan(engine, older, STEGO)

    assert first.rescan_of == jobs[0]
    assert [(each.rescan_of, each.was_done) for each in rest] == [(jobs[0], True), (jobs[1], False), (jobs[2], False)]
    assert rest[0] == Rescan(rescan_of=jobs[0], job_id=first.job_id, images=1, was_done=True)
    assert [each.was_done for each in rescan(engine, older, EVERYTHING)] == [False] * 3
    assert [each.was_done for each in rescan(engine, older, STEGO, again=True)] == [False] * 3
    execute(engine, f"INSERT INTO model_uses (model_id, used_by) VALUES ({older}, 'olga')")
    assert [each.was_done for each in rescan(engine, older, STEGO)] == [False] * 3


def test_a_rescan_by_the_model_in_use_does_not_scan_its_own_jobs(engine: Engine, older: int) -> None:
    job_id = store(engine, older, ("a", None))
    report_worker(engine, "cpu0@here", "cpu0", older)

    (made,) = rescan(engine, older)
    (claim,) = claim_waiting_chunks(engine)
    assert finish_chunk(engine, claim, [NewVerdict(0, "file:///a", Outcome.CLEAN, bytes(32), 0.1, model_id=older)])

    assert [(each.rescan_of, each.was_done) for each in rescan(engine, older)] == [(job_id, True)]
    assert {each.rescan_of for each in rescan(engine, older, again=True)} == {job_id, made.job_id}


def test_jobs_that_run_are_left_alone(engine: Engine, older: int) -> None:
    submit_job(engine, ["file:///a", "file:///b"], submitter="ann", chunk_size=1)
    first, _ = claim_waiting_chunks(engine)
    finish_chunk(engine, first, [NewVerdict(0, "file:///a", Outcome.CLEAN, bytes(32), 0.1, model_id=older)])

    assert rescan(engine, older) == []


def test_images_that_are_no_longer_stored_are_counted_and_left_out(engine: Engine, configured: Settings) -> None:
    blobs = Blobs(configured.blobs())
    with Upload(engine, blobs, "ann", StorageLimits(None, 0)) as upload:
        digests = upload.put_all([b"one", b"two", b"three"])
        upload.submit([f"blob://{digest}/image" for digest in digests], NO_OPTIONS, chunk_size=4)
    finish_waiting_chunks(engine)
    execute(engine, f"DELETE FROM job_blobs WHERE sha256 = '\\x{digests[1]}'")
    execute(engine, f"DELETE FROM blobs WHERE sha256 = '\\x{digests[1]}'")

    (made,) = rescan(engine, register_v4(engine))

    assert (made.images, made.gone) == (2, 1)
    (claim,) = claim_waiting_chunks(engine)
    assert claim.refs == [f"blob://{digests[0]}/image", f"blob://{digests[2]}/image"]
    execute(engine, "DELETE FROM job_blobs")
    execute(engine, "DELETE FROM blobs")
    (nothing,) = rescan(engine, register_v4(engine), again=True)
    assert (nothing.job_id, nothing.images, nothing.gone) == (None, 0, 3)
    assert list_rescans(engine, made.rescan_of) == [made.job_id]


def test_a_worker_asks_the_model_anew(engine: Engine, configured: Settings, tmp_path: Path) -> None:
    process = WorkerProcess(engine, configured, name="cpu0@here", device="cpu0", detector=HeldDetector())
    process.start()
    path = tmp_path / "image.png"
    path.write_bytes(encode_pattern("PNG"))

    submit_job(engine, [path.as_uri()], submitter="ann")
    (chunk,) = pick_chunks(engine, Priority.BULK, 10)
    process.scan_chunk(chunk.chunk_id)
    (first,) = find_verdicts(engine, EVERYTHING)
    (model_id,) = find_models(engine, (first.model or "").rpartition(":")[2])
    (made,) = rescan(engine, model_id)
    submit_job(engine, [path.as_uri()], submitter="ann")
    for chunk in pick_chunks(engine, Priority.BULK, 10):
        process.scan_chunk(chunk.chunk_id)
    process.stop()

    reused = {verdict.job_id: verdict.reused for verdict in find_verdicts(engine, EVERYTHING)}
    assert reused.pop(made.job_id or first.job_id) is False
    assert sorted(reused.values()) == [False, True]


def test_a_model_is_named_as_people_do(engine: Engine, older: int, newer: int) -> None:
    other_threshold = register_model(engine, name="v4", version="1", sha256="ab" * 32, threshold=0.6)
    register_model(engine, name="v5", version="2", sha256="ef" * 32, threshold=0.5)

    for wanted in ("v4-1", "1", "AbAbAb"):
        assert find_models(engine, wanted) == [older, other_threshold]
    assert find_models(engine, "v4-2") == [newer]
    with pytest.raises(ModelChoiceError, match="there is no model 'ab': use one of v4-1, v4-2, v5-2"):
        find_models(engine, "ab")
    with pytest.raises(ModelChoiceError, match=r"'2' may be v4-2 .*, v5-2 .*: use the start of its SHA-256"):
        find_models(engine, "2")
    register_model(engine, name="copy", version="1", sha256="ab" * 32, threshold=0.5)
    with pytest.raises(ModelChoiceError, match=r"'1' may be copy-1 .*, v4-1 .*: use its name and version"):
        find_models(engine, "1")


def test_models_are_compared_by_their_newest_verdicts_on_the_same_bytes(engine: Engine, older: int, newer: int) -> None:
    jobs = [
        store(engine, older, ("a", None), ("b", Method.RAW), ("c", Method.RAW), ("only old", None), ("e", None)),
        store(engine, older, ("a", Method.RAW), submitter="bob"),
        store(engine, newer, ("a", Method.RAW), ("b", Method.ALPHA), ("c", None), ("only new", None), ("e", None)),
    ]

    compared = compare_models(engine, [older], [newer])

    assert (compared.files, compared.differing) == (4, 2)
    counts = {
        (each.outcome, each.stego_type, each.other_outcome, each.other_stego_type): each.files
        for each in compared.counts
    }
    assert counts == {
        ("clean", None, "clean", None): 1, ("stego", "raw", "clean", None): 1, ("stego", "raw", "stego", "alpha"): 1,
        ("stego", "raw", "stego", "raw"): 1,
    }  # fmt: skip
    assert [each.sha256 for each in compared.sample] == sorted(hash_of(name) for name in ("b", "c"))
    shown = {each.uri: each for each in compared.sample}
    assert shown["file:///b"] == DifferingFile(
        sha256=hash_of("b"), uri="file:///b", job_id=jobs[0], ordinal=1, outcome=Outcome.STEGO, stego_type=Method.RAW,
        stego_probability=0.9, other_job_id=jobs[2], other_ordinal=1, other_outcome=Outcome.STEGO,
        other_stego_type=Method.ALPHA, other_stego_probability=0.9,
    )  # fmt: skip
    assert (shown["file:///c"].other_outcome, shown["file:///c"].other_stego_type) == ("clean", None)
    assert compare_models(engine, [older], [newer], submitter="bob").files == 0
    assert compare_models(engine, [older], [newer], since=datetime.now(UTC) + timedelta(hours=1)).files == 0
    narrowed = compare_models(engine, [older], [newer], submitter="ann", sample=1)
    assert (narrowed.differing, len(narrowed.sample)) == (3, 1)
    execute(engine, f"UPDATE jobs SET canary = true WHERE id = '{jobs[1]}'")
    assert compare_models(engine, [older], [newer]).differing == 3


def test_a_comparison_that_takes_too_long_is_given_up_and_says_so(engine: Engine, older: int, newer: int) -> None:
    with engine.begin() as holder:
        holder.execute(text("LOCK TABLE verdicts"))
        with pytest.raises(QueryTooLongError, match=r"this comparison takes longer than 0.05 s: narrow it by `since`"):
            compare_models(engine, [older], [newer], within_s=0.05)


def test_the_view_has_the_newest_earlier_verdict_of_each_other_model(engine: Engine, older: int, newer: int) -> None:
    models = [older, newer, register_v4(engine)]
    says: list[dict[str, str | None]] = [
        {"outcome": "clean", "method": None}, {"outcome": "stego", "method": "raw"},
        {"outcome": "stego", "method": "exif"}, {"outcome": "error", "method": None},
    ]  # fmt: skip
    chance = random.Random(15)
    now = datetime.now(UTC)
    jobs = [submit_job(engine, ["file:///0"], submitter="ann").job_id for _ in range(4)]
    # Few different images and times, so that many verdicts have the same image and time.
    rows = [
        {
            "job": job_id, "ordinal": ordinal, "sha256": bytes([chance.randrange(20)]) * 32,
            "model": chance.choice(models), "time": now - timedelta(hours=chance.randrange(6)),
            **chance.choice(says),
        }
        for job_id in jobs for ordinal in range(100)
    ]  # fmt: skip
    with engine.begin() as connection:
        connection.execute(STORE_ROW, rows)
        columns = "job_id, ordinal, earlier_job_id, earlier_ordinal, agrees"
        shown = connection.execute(text(f"SELECT {columns} FROM model_comparison")).all()

    def key(row: dict[str, Any]) -> tuple[datetime, uuid.UUID, int]:
        return row["time"], row["job"], row["ordinal"]

    judged = sorted((row for row in rows if row["outcome"] != "error"), key=key)
    expected = set()
    for place, row in enumerate(judged):
        # Of each model, the latest earlier verdict.
        earlier = {each["model"]: each for each in judged[:place] if each["sha256"] == row["sha256"]}
        expected |= {
            (row["job"], row["ordinal"], each["job"], each["ordinal"], each["method"] == row["method"])
            for model, each in earlier.items() if model != row["model"]
        }  # fmt: skip
    assert len(expected) > 400
    assert len(shown) == len(expected)
    assert {tuple(row) for row in shown} == expected
