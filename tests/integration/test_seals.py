"""Seals of jobs: every verdict that was changed, added or deleted since the job ended is named."""

import hashlib
import json
import struct
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from starlight_vocabulary.words import BitOrder, ErrorCode, Method, Outcome
from storage import seals, verification
from storage.chunks import finish_chunk
from storage.jobs import cancel_job
from storage.new_verdict import NewVerdict
from storage.purging import EndedJobs, purge_jobs
from storage.seals import CANONICAL, PIECE, seal_ended_jobs
from storage.submission import submit_job
from storage.verdict_search import VerdictFilter, find_verdicts
from storage.verification import SealError, list_sealed_jobs, verify_job
from storage.version import VERSION
from tests.kit.payloads import make_payload
from tests.kit.rows import claim_waiting_chunks, execute, finish_waiting_chunks, register_v4, submit_job_of

MESSAGE = 'tab\there "quoted" \\ ü \u202e \x01 食'


def seal_all(engine: Engine) -> int:
    """Seal all ended jobs; return their number."""
    sealed = 0
    while some := seal_ended_jobs(engine):
        sealed += some
    return sealed


@pytest.fixture
def job_id(engine: Engine) -> uuid.UUID:
    """A sealed job with two and a half pieces."""
    job_id = submit_job_of(engine, 2 * PIECE + 50, chunk_size=100)
    finish_waiting_chunks(engine)
    assert seal_all(engine) == 1
    return job_id


def test_a_job_that_is_as_it_was_is_intact(engine: Engine, job_id: uuid.UUID) -> None:
    verified = verify_job(engine, job_id)

    assert verified.intact
    assert verified.seal_intact
    assert (verified.verdicts, verified.differences) == (2 * PIECE + 50, 0)
    assert seal_all(engine) == 0
    assert list(list_sealed_jobs(engine)) == [job_id]


CHANGES = {
    "uri": "uri = uri || '#'", "outcome": "outcome = 'stego'", "sha256": "sha256 = sha256(uri::bytea)",
    "probability": "stego_probability = 0.50000006", "method": "method = 'raw'", "order": "bit_order = 'none'",
    "message": "extracted_message = ''", "payload": """payload = '{"kind": "text"}'""", "detail": "error_detail = 'x'",
    "size": "size_bytes = 1", "width": "width = 1", "height": "height = 1", "format": "format = 'PNG'",
    "reuse": "reused = true", "time": "scanned_at = scanned_at + interval '1 microsecond'",
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_is_changed_of_a_verdict_its_ordinal_is_named(engine: Engine, job_id: uuid.UUID, change: str) -> None:
    execute(engine, f"UPDATE verdicts SET {change} WHERE ordinal IN (3, {2 * PIECE + 49})")

    verified = verify_job(engine, job_id)

    assert not verified.intact
    assert verified.changed == [3, 2 * PIECE + 49]
    assert (verified.differences, verified.added, verified.deleted, verified.unclear) == (2, [], [], [])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE models SET threshold = 0.4", "UPDATE models SET version = '9'", "UPDATE jobs SET submitter = 'eve'",
        "UPDATE jobs SET threshold = 0.4", "UPDATE provenance SET worker = 'cpu9@elsewhere'",
        "UPDATE provenance SET attempt = 2", "UPDATE provenance SET code_version = '0'",
    ],
)  # fmt: skip
def test_what_stands_beside_verdicts_is_sealed_with_them(engine: Engine, job_id: uuid.UUID, change: str) -> None:
    execute(engine, change)

    assert verify_job(engine, job_id).differences == 2 * PIECE + 50


def test_verdicts_that_are_added_or_deleted_are_named(engine: Engine, job_id: uuid.UUID) -> None:
    execute(engine, f"DELETE FROM verdicts WHERE ordinal IN (0, {PIECE})")
    execute(
        engine,
        f"""
        INSERT INTO verdicts (job_id, ordinal, landed, uri, outcome, error_code)
        SELECT job_id, added, landed, uri, 'error', 'empty' FROM verdicts,
            unnest(ARRAY[{2 * PIECE + 50}, {3 * PIECE}, {2**31 - 1}]) AS added WHERE ordinal = 1
        """,
    )

    verified = verify_job(engine, job_id)

    assert verified.deleted == [0, PIECE]
    assert verified.added == [2 * PIECE + 50, 3 * PIECE, 2**31 - 1]
    assert (verified.changed, verified.differences) == ([], 5)


def test_a_whole_piece_that_is_gone_is_named(engine: Engine, job_id: uuid.UUID) -> None:
    execute(engine, f"DELETE FROM verdicts WHERE ordinal >= {PIECE} AND ordinal < {2 * PIECE}")

    assert verify_job(engine, job_id).deleted == list(range(PIECE, 2 * PIECE))


def test_a_seal_that_was_changed_says_so(engine: Engine, job_id: uuid.UUID) -> None:
    execute(engine, "UPDATE seal_pieces SET digest = sha256(digest) WHERE first_ordinal = 0")

    verified = verify_job(engine, job_id)

    assert (verified.intact, verified.seal_intact, verified.unclear) == (False, False, [0])
    execute(engine, "DELETE FROM seals")
    with pytest.raises(SealError, match="its seal is missing"):
        verify_job(engine, job_id)


def test_no_more_are_named_than_people_read(engine: Engine, job_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "NAMED", 5)
    execute(engine, "UPDATE verdicts SET width = 1")

    verified = verify_job(engine, job_id)

    assert (verified.changed, verified.differences) == ([0, 1, 2, 3, 4], 2 * PIECE + 50)


def test_large_and_small_jobs_are_sealed_in_parts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals, "VERDICTS_AT_ONCE", PIECE)
    monkeypatch.setattr(verification, "VERDICTS_AT_ONCE", PIECE)
    jobs = [submit_job_of(engine, images, chunk_size=100) for images in (5, 100, 3 * PIECE + 1, PIECE, 1)]
    finish_waiting_chunks(engine)

    assert seal_all(engine) == len(jobs)

    execute(engine, "UPDATE verdicts SET width = 1 WHERE ordinal = (SELECT total - 1 FROM jobs WHERE id = job_id)")
    assert [verify_job(engine, job).changed for job in jobs] == [[4], [99], [3 * PIECE], [PIECE - 1], [0]]


def test_the_same_verdicts_have_the_same_root_however_they_are_sealed(
    engine: Engine, job_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = verify_job(engine, job_id).root
    monkeypatch.setattr(seals, "VERDICTS_AT_ONCE", PIECE)
    execute(engine, "DELETE FROM seals")
    execute(engine, "DELETE FROM seal_pieces WHERE first_ordinal > 0")
    execute(engine, "UPDATE jobs SET sealed = false")

    assert seal_all(engine) == 1
    assert verify_job(engine, job_id).root == before


def test_what_has_no_seal_says_why(engine: Engine) -> None:
    job_id = submit_job_of(engine, 2)
    with pytest.raises(SealError, match="has not ended yet"):
        verify_job(engine, job_id)
    cancel_job(engine, job_id)
    with pytest.raises(SealError, match="is not sealed yet"):
        verify_job(engine, job_id)
    execute(engine, "UPDATE jobs SET sealed = NULL")
    assert seal_all(engine) == 0
    with pytest.raises(SealError, match="ended before seals existed"):
        verify_job(engine, job_id)
    execute(engine, "UPDATE jobs SET sealed = false")
    assert seal_all(engine) == 1
    assert verify_job(engine, job_id).intact
    list(purge_jobs(engine, EndedJobs(job_ids=[job_id]), only_blobs=False))
    with pytest.raises(SealError, match="there is no job"):
        verify_job(engine, job_id)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM seals FULL JOIN seal_pieces ON true")).scalar_one() == 0


def test_a_job_that_somebody_deletes_is_left_to_him(engine: Engine) -> None:
    submit_job_of(engine, 2)
    finish_waiting_chunks(engine)

    with engine.begin() as purging:
        purging.execute(text("SELECT FROM jobs FOR UPDATE"))
        assert seal_ended_jobs(engine) == 0
    assert seal_ended_jobs(engine) == 1


def test_the_page_has_the_canonical_form() -> None:
    page = (Path(__file__).parents[2] / "docs" / "analysts.md").read_text(encoding="utf-8")

    assert " ".join(CANONICAL.split()) in " ".join(page.split())


def test_the_root_is_what_the_page_says_of_it(engine: Engine) -> None:
    """The root is computed here again, from the verdicts as the interface shows them."""
    references = ["file:///a", "s3://b/ü"]
    job_id = submit_job(engine, references, submitter="ann", chunk_size=2).job_id
    (claim,) = claim_waiting_chunks(engine)
    payload = make_payload(text=MESSAGE)
    stego = NewVerdict(
        0, references[0], Outcome.STEGO, b"\1" * 32, 0.1, Method.RAW, BitOrder.NONE, MESSAGE,
        model_id=register_v4(engine), width=3, height=2, format="PNG", size_bytes=2**40, payload=payload,
    )  # fmt: skip
    failed = NewVerdict(1, references[1], Outcome.ERROR, error_code=ErrorCode.EMPTY, error_detail="the file is empty")
    finish_chunk(engine, claim, [stego, failed])
    seal_all(engine)
    with engine.connect() as connection:
        payloads = list(connection.execute(text("SELECT payload::text FROM verdict ORDER BY ordinal")).scalars())

    def canonical(verdict: Any, written_payload: str | None) -> bytes:
        since = verdict.scanned_at - datetime(1970, 1, 1, tzinfo=UTC)
        probability, threshold = verdict.stego_probability, verdict.threshold
        values = [
            str(verdict.job_id), verdict.ordinal, "ann", verdict.uri, verdict.sha256, verdict.outcome,
            None if probability is None else struct.pack(">f", probability).hex(), verdict.stego_type,
            verdict.bit_order, verdict.extracted_message, written_payload, verdict.error_code, verdict.error_detail,
            verdict.model, None if threshold is None else struct.pack(">d", threshold).hex(), verdict.width,
            verdict.height, verdict.format, verdict.size_bytes, verdict.reused, since // timedelta(microseconds=1),
            "cpu0@here", VERSION, 1,
        ]  # fmt: skip
        return json.dumps(values, ensure_ascii=False).encode()

    verdicts = list(find_verdicts(engine, VerdictFilter(job_id=job_id)))
    leaves = [hashlib.sha256(b"\0" + canonical(*each)).digest() for each in zip(verdicts, payloads, strict=True)]
    piece = hashlib.sha256(b"\1" + b"".join(leaves)).digest()
    assert verify_job(engine, job_id).root == hashlib.sha256(b"\2" + piece).hexdigest()
