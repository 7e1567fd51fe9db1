"""The provenance of verdicts: stored with them, and shown for each."""

from sqlalchemy import Engine, text

from starlight_vocabulary.records import to_json
from starlight_vocabulary.words import Priority
from storage.chunks import claim_chunk, finish_chunk, release_chunks
from storage.dispatch import pick_chunks, recover_lost_chunk
from storage.jobs import cancel_job
from storage.provenance import find_provenance
from storage.version import VERSION
from tests.kit.rows import (
    LEASE_S,
    claim_waiting_chunks,
    expire_leases,
    make_verdicts,
    require_provenance,
    submit_job_of,
)


def test_a_verdict_names_its_model_worker_device_version_and_attempt(engine: Engine) -> None:
    job_id = submit_job_of(engine, 8, chunk_size=4)
    claims = claim_waiting_chunks(engine, "gpu1@first")
    finish_chunk(engine, claims[0], make_verdicts(engine, claims[0]))
    release_chunks(engine, claims[1:])
    (again,) = claim_waiting_chunks(engine, "cpu0@second")
    finish_chunk(engine, again, make_verdicts(engine, again))

    first, last = require_provenance(engine, job_id, 0), require_provenance(engine, job_id, 7)

    assert to_json(first) == {
        "submitter": "ann", "model_name": "v4", "model_version": "0", "weights_sha256": "0" * 64,
        "worker": "gpu1@first", "device": "gpu1", "code_version": VERSION, "attempt": 1, "losses": 0,
    }  # fmt: skip
    assert (last.worker, last.device, last.attempt) == ("cpu0@second", "cpu0", 2)
    with engine.connect() as connection:
        seen = connection.execute(text("SELECT worker, device, code_version, attempt FROM verdict ORDER BY ordinal"))
        assert [tuple(row) for row in seen] == [
            *[("gpu1@first", "gpu1", VERSION, 1)] * 4, *[("cpu0@second", "cpu0", VERSION, 2)] * 4
        ]  # fmt: skip


def test_images_of_one_chunk_that_landed_apart_name_each_their_own_attempt(engine: Engine) -> None:
    job_id = submit_job_of(engine, 2, chunk_size=2)
    (claim,) = claim_waiting_chunks(engine, "cpu0@first")
    finish_chunk(engine, claim, make_verdicts(engine, claim)[:1], put_off_s=0)
    (chunk,) = pick_chunks(engine, Priority.BULK, 1)
    again = claim_chunk(engine, chunk.chunk_id, "cpu0@second", LEASE_S)
    assert again is not None
    finish_chunk(engine, again, make_verdicts(engine, again))

    assert require_provenance(engine, job_id, 0).worker == "cpu0@first"
    assert require_provenance(engine, job_id, 1).worker == "cpu0@second"


def test_a_loss_is_told_of_the_images_whose_chunk_was_lost(engine: Engine) -> None:
    job_id = submit_job_of(engine, 4, chunk_size=2)
    lost, kept = claim_waiting_chunks(engine, "cpu0@first")
    finish_chunk(engine, kept, make_verdicts(engine, kept))
    expire_leases(engine)
    assert recover_lost_chunk(engine, 3, 0.0)
    (again,) = claim_waiting_chunks(engine, "cpu0@second")
    assert finish_chunk(engine, again, make_verdicts(engine, again))

    found = [require_provenance(engine, job_id, ordinal) for ordinal in range(4)]

    assert lost.chunk_id == again.chunk_id
    assert [(each.attempt, each.losses) for each in found] == [(2, 1), (2, 1), (1, 0), (1, 0)]


def test_what_no_worker_made_names_none(engine: Engine) -> None:
    job_id = submit_job_of(engine, 2, chunk_size=2)
    cancel_job(engine, job_id)

    found = require_provenance(engine, job_id, 0)

    assert {value for name, value in to_json(found).items() if name not in ("submitter", "losses")} == {None}
    assert find_provenance(engine, job_id, 2) is None
