"""How long blobs are stored, also while others store, need or delete the same bytes."""

import uuid
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256

import pytest
from sqlalchemy import Engine, text

from producer.dispatching.sweeper import Sweeper
from starlight_vocabulary.words import Method, Outcome
from storage.blobs import Blobs
from storage.chunks import finish_chunk
from storage.failures import retry_job
from storage.jobs import cancel_job
from storage.models import add_model
from storage.new_verdict import NewVerdict
from storage.retention import delete_released_blobs, end_retention
from storage.schema.work import KeptBlobs
from storage.settings import Settings
from storage.storage_limits import StorageLimits
from storage.submission import NO_OPTIONS, UploadExpiredError
from storage.uploads import Upload
from tests.kit.rows import claim_waiting_chunks, execute, finish_waiting_chunks, register_v4
from tests.kit.threads import GLANCE_S, start_thread

NO_LIMITS = StorageLimits(None, 0)
AT_ONCE = {"blob_retention": timedelta(0), "evidence_retention": timedelta(0)}


@pytest.fixture
def blobs(configured: Settings) -> Blobs:
    return Blobs(configured.blobs())


class Store:
    """Jobs with blobs, and the deletion of blobs that they release."""

    def __init__(self, engine: Engine, blobs: Blobs, settings: Settings) -> None:
        self.engine = engine
        self.blobs = blobs
        self._settings = settings

    def open_upload(self, submitter: str = "ann") -> Upload:
        return Upload(self.engine, self.blobs, submitter, NO_LIMITS)

    def submit(self, *images: bytes, submitter: str = "ann") -> uuid.UUID:
        with self.open_upload(submitter) as upload:
            references = [f"blob://{digest}/image" for digest in upload.put_all(images)]
            return upload.submit(references, NO_OPTIONS, chunk_size=4).job_id

    def sweep(self, **retention: timedelta) -> int:
        return Sweeper(self.engine, self.blobs, self._settings.model_copy(update=retention)).sweep()

    def has(self, data: bytes) -> bool:
        try:
            return self.blobs.get(sha256(data).hexdigest(), len(data)) == data
        except FileNotFoundError:
            return False

    def count_rows(self) -> Sequence[int]:
        with self.engine.connect() as connection:
            return [
                connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
                for table in ("blobs", "job_blobs", "uploads")
            ]

    def read_stored_bytes(self, submitter: str = "ann") -> int:
        query = text("SELECT stored_bytes FROM submitters WHERE name = :name")
        with self.engine.connect() as connection:
            return int(connection.execute(query, {"name": submitter}).scalar_one())


@pytest.fixture
def store(engine: Engine, blobs: Blobs, configured: Settings) -> Store:
    return Store(engine, blobs, configured)


def find_something_in(engine: Engine, image: bytes) -> None:
    """Store verdicts on the waiting images: this one is stego, the others are clean."""
    digest = sha256(image)
    model_id = register_v4(engine)
    for claim in claim_waiting_chunks(engine):
        verdicts = []
        for ordinal, uri in claim.images:
            is_stego = digest.hexdigest() in uri
            outcome = Outcome.STEGO if is_stego else Outcome.CLEAN
            found = bytes.fromhex(uri.split("/")[2])
            method = Method.RAW if is_stego else None
            verdicts.append(NewVerdict(ordinal, uri, outcome, found, 0.5, method=method, model_id=model_id))
        assert finish_chunk(engine, claim, verdicts)


def test_blobs_are_stored_until_their_job_has_ended_and_so_much_longer(store: Store) -> None:
    store.submit(b"one", b"two")
    assert store.sweep(**AT_ONCE) == 0
    assert store.read_stored_bytes() == 6

    finish_waiting_chunks(store.engine)

    assert store.sweep(blob_retention=timedelta(hours=1)) == 0
    assert store.has(b"one")
    assert store.sweep(**AT_ONCE) == 2
    assert not store.has(b"one")
    assert store.count_rows() == [0, 0, 0]
    assert store.read_stored_bytes() == 0


def test_evidence_is_stored_for_longer(store: Store) -> None:
    store.submit(b"found", b"clean")
    find_something_in(store.engine, b"found")

    assert store.sweep(blob_retention=timedelta(0), evidence_retention=timedelta(days=1)) == 1
    assert (store.has(b"found"), store.has(b"clean")) == (True, False)
    assert store.sweep(**AT_ONCE) == 1
    assert not store.has(b"found")


def test_a_blob_that_two_jobs_need_is_stored_for_both(store: Store) -> None:
    first = store.submit(b"shared", submitter="ann")
    store.submit(b"shared", submitter="bob")
    cancel_job(store.engine, first)

    assert store.sweep(**AT_ONCE) == 0
    assert store.has(b"shared")
    assert (store.read_stored_bytes("ann"), store.read_stored_bytes("bob")) == (0, 6)

    finish_waiting_chunks(store.engine)
    assert store.sweep(**AT_ONCE) == 1


def test_an_upload_that_is_not_submitted_leaves_nothing(store: Store) -> None:
    with store.open_upload() as upload:
        upload.put_all([b"one", b"two"])
        assert store.sweep(**AT_ONCE) == 0

    assert store.sweep(**AT_ONCE) == 2
    assert store.count_rows() == [0, 0, 0]


def test_an_upload_whose_process_died_is_given_up_and_cannot_be_submitted(store: Store) -> None:
    upload = store.open_upload()
    upload.put_all([b"one"])
    execute(store.engine, "UPDATE uploads SET expires_at = now()")

    assert store.sweep(**AT_ONCE) == 1
    with pytest.raises(UploadExpiredError):
        upload.put_all([b"two"])
    with pytest.raises(UploadExpiredError):
        upload.submit(["file:///one"], NO_OPTIONS, chunk_size=1)
    assert claim_waiting_chunks(store.engine) == []


def test_bytes_that_come_again_before_they_are_deleted_stay(store: Store) -> None:
    cancel_job(store.engine, store.submit(b"again"))
    with store.open_upload() as upload:
        upload.put_all([b"again"])

        assert store.sweep(**AT_ONCE) == 0
        assert store.has(b"again")


def test_who_stores_what_is_being_deleted_waits_and_has_it_stored_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel_job(store.engine, store.submit(b"again"))
    storing: list[Future[uuid.UUID]] = []

    def delete_slowly(digests: Sequence[str]) -> None:
        Blobs.delete_all(store.blobs, digests)
        storing.append(start_thread(store.submit, b"again"))
        # The deletion can end only after this transaction.
        with pytest.raises(TimeoutError):
            storing[0].result(GLANCE_S)

    monkeypatch.setattr(store.blobs, "delete_all", delete_slowly)
    assert store.sweep(**AT_ONCE) == 1

    storing[0].result()
    monkeypatch.undo()
    assert store.sweep(**AT_ONCE) == 0
    assert store.has(b"again")


def test_what_is_being_stored_is_not_deleted(store: Store) -> None:
    cancel_job(store.engine, store.submit(b"again"))
    assert end_retention(store.engine, KeptBlobs.ALL, KeptBlobs.NONE, timedelta(0)) == 1
    with store.engine.begin() as connection:
        # The same state as in the middle of storing it.
        connection.execute(text("UPDATE blobs SET released_at = NULL"))

        assert list(delete_released_blobs(store.engine, store.blobs)) == []

    assert store.has(b"again")


def test_any_number_of_sweepers_and_submitters_leave_what_is_needed_and_nothing_else(store: Store) -> None:
    images = [bytes([number]) * 8 for number in range(20)]

    def submit_and_cancel(turn: int) -> None:
        for place in range(10):
            job_id = store.submit(*images[place : place + 10], submitter=f"submitter {turn % 2}")
            if place != turn:
                cancel_job(store.engine, job_id)

    with ThreadPoolExecutor(6) as threads:
        submitting = [threads.submit(submit_and_cancel, turn) for turn in range(3)]
        sweeping = [threads.submit(store.sweep, **AT_ONCE) for _ in range(30)]
        for submitted in submitting:
            submitted.result()
        for swept in sweeping:
            swept.result()
    store.sweep(**AT_ONCE)

    assert [store.has(image) for image in images] == [number < 12 for number in range(20)]
    assert store.count_rows() == [12, 30, 0]
    assert [store.read_stored_bytes(f"submitter {number}") for number in (0, 1)] == [160, 80]


def test_a_store_that_does_not_answer_costs_no_blob(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cancel_job(store.engine, store.submit(b"one"))

    def fail(_: Sequence[str]) -> None:
        raise OSError("gone")

    monkeypatch.setattr(store.blobs, "delete_all", fail)
    with pytest.raises(OSError, match="gone"):
        store.sweep(**AT_ONCE)
    monkeypatch.undo()

    assert store.sweep(**AT_ONCE) == 1
    assert not store.has(b"one")


def test_the_weights_of_a_model_are_no_image_that_nobody_needs(store: Store) -> None:
    digest = sha256(b"weights").hexdigest()
    job_id = store.submit(b"weights")
    add_model(store.engine, {"name": "v4", "version": "9", "sha256": digest, "threshold": 0.5})
    cancel_job(store.engine, job_id)

    assert store.sweep(**AT_ONCE) == 0
    assert store.has(b"weights")


def test_a_retried_job_keeps_what_is_still_stored(store: Store) -> None:
    job_id = store.submit(b"one", b"two")
    finish_waiting_chunks(store.engine, Outcome.ERROR)
    retry_id = retry_job(store.engine, job_id).job_id

    assert store.sweep(**AT_ONCE) == 0
    assert store.has(b"one")
    assert store.read_stored_bytes() == 6
    cancel_job(store.engine, retry_id)
    assert store.sweep(**AT_ONCE) == 2


def test_objects_that_are_gone_already_are_no_error(store: Store) -> None:
    images = [bytes([number]) for number in range(30)]
    cancel_job(store.engine, store.submit(*images))
    store.blobs.delete_all([sha256(image).hexdigest() for image in images[::3]])

    assert store.sweep(**AT_ONCE) == len(images)
    assert [image for image in images if store.has(image)] == []
    assert list(delete_released_blobs(store.engine, store.blobs)) == []
