"""Uploads: incoming data of a job before it is submitted, whose blobs and idempotency key are protected meanwhile."""

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from tempfile import SpooledTemporaryFile
from types import TracebackType

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from starlight_vocabulary.job import JobOptions
from storage.blobs import Blobs
from storage.kept_blobs import KEEP_BLOBS, store_kept
from storage.retention import end_uploads
from storage.storage_limits import StorageLimits
from storage.submission import ListedObject, Reference, Submission, UploadExpiredError, find_earlier_job, submit_job
from storage.traces import describe_span, trace
from storage.waiting import WaitingLimits, find_room

# How long an upload is kept without renewal, and how often it is renewed while data arrives.
LEASE_S = 3600.0
RENEW_EVERY_S = 300.0
# References in memory while they are read; further ones are on disk.
SPOOLED_BYTES = 2**20
# Cannot occur in URIs and versions.
SEPARATOR = "\t"
# After so many references, the waiting limit is checked for each further one.
CHECK_FROM = 1000


class KeyInUseError(Exception):
    """An unfinished upload of this submitter has the idempotency key."""


# Inserts an upload, unless another one has its idempotency key.
BEGIN_UPLOAD = text("""
    INSERT INTO uploads (submitter, idempotency_key, expires_at)
    VALUES (:submitter, :key, now() + make_interval(secs => :lease_s))
    ON CONFLICT (submitter, idempotency_key) DO NOTHING RETURNING job_id
""")

# Sets the idempotency key of an upload that began without one.
NAME_UPLOAD = text("UPDATE uploads SET idempotency_key = :key WHERE job_id = :id")

# Renews an upload.
RENEW_UPLOAD = text("UPDATE uploads SET expires_at = now() + make_interval(secs => :lease_s) WHERE job_id = :id")

KEEP_FOR_UPLOAD = text(
    KEEP_BLOBS.format(
        owner="""
        UPDATE uploads SET expires_at = now() + make_interval(secs => :lease_s) WHERE job_id = :id
        RETURNING job_id, submitter
        """
    )
)


class Upload:
    """One upload. It is in the database once it has a key or a blob; as a context manager, it ends with the block.

    An upload that ends without being submitted leaves nothing behind. It holds no connection between calls.
    """

    def __init__(self, engine: Engine, blobs: Blobs, submitter: str, limits: StorageLimits) -> None:
        self._engine = engine
        self._blobs = blobs
        self._submitter = submitter
        self.limits = limits
        self._job_id: uuid.UUID | None = None
        self._has_key = False
        self._renew_at = 0.0

    def __enter__(self) -> "Upload":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def take_key(self, idempotency_key: str) -> Submission | None:
        """Reserve this idempotency key and return None, or return the earlier job that has it.

        Raises KeyInUseError if another upload has it.
        """
        earlier = find_earlier_job(self._engine, self._submitter, idempotency_key)
        if earlier is not None:
            return earlier
        try:
            with self._engine.begin() as connection:
                if self._job_id is None:
                    self._begin(connection, idempotency_key)
                else:
                    connection.execute(NAME_UPLOAD, {"id": self._job_id, "key": idempotency_key})
        except IntegrityError as error:
            raise KeyInUseError from error
        self._has_key = True
        return None

    def put_all(self, images: Sequence[bytes]) -> list[str]:
        """Store each of these as a blob of the job; return their SHA-256 in hex.

        Raises StorageFullError, StoredBytesError and UploadExpiredError; then none of them is stored.
        """

        def keep(connection: Connection, described: Mapping[str, object]) -> int:
            if self._job_id is None:
                self._begin(connection, None)
            values = {"id": self._job_id, "lease_s": LEASE_S, **described}
            stored = connection.execute(KEEP_FOR_UPLOAD, values).scalar()
            if stored is None:
                raise UploadExpiredError
            return int(stored)

        digests = store_kept(self._engine, self._blobs, images, self._submitter, self.limits, keep)
        self._renew_at = time.monotonic() + RENEW_EVERY_S
        return digests

    @property
    def is_begun(self) -> bool:
        """Whether it is in the database."""
        return self._job_id is not None

    @property
    def is_due(self) -> bool:
        """Whether `renew` is due."""
        return self.is_begun and time.monotonic() >= self._renew_at

    def renew(self) -> None:
        """Extend the upload's time, because data still arrives."""
        self._renew_at = time.monotonic() + RENEW_EVERY_S
        with self._engine.begin() as connection:
            connection.execute(RENEW_UPLOAD, {"id": self._job_id, "lease_s": LEASE_S})

    def submit(
        self,
        references: Iterable[Reference],
        options: JobOptions,
        *,
        chunk_size: int,
        follow_links: bool = True,
        limits: WaitingLimits | None = None,
        canary: bool = False,
        since: uuid.UUID | None = None,
        also: Callable[[Connection, uuid.UUID], object] = lambda connection, job_id: None,
        counts_as_images: bool = True,
    ) -> Submission:
        """Submit the job, reading `references` once, before any lock or connection is held in the database.

        Reserves the idempotency key unless that was done before; if an earlier job has it, nothing is read. Raises
        the errors of `take_key` and `submit_job`, TooManyWaitingError as soon as too many are read, and errors of
        reading them.
        """
        if options.idempotency_key is not None and not self._has_key:
            earlier = self.take_key(options.idempotency_key)
            if earlier is not None:
                return earlier
        with (
            trace("submit"),
            SpooledTemporaryFile(SPOOLED_BYTES, "w+", encoding="utf-8", newline="\n") as spool,
        ):
            room = None
            for number, reference in enumerate(references, 1):
                # For fewer, `submit_job` refuses early enough.
                if number == CHECK_FROM and limits is not None:
                    room = find_room(self._engine, self._submitter, limits)
                if room is not None:
                    room.check(number)
                spool.write(f"{reference if isinstance(reference, str) else SEPARATOR.join(reference)}\n")
            spool.seek(0)
            submission = submit_job(
                self._engine,
                map(read_spooled, spool),
                options,
                submitter=self._submitter,
                chunk_size=chunk_size,
                follow_links=follow_links,
                limits=limits,
                upload_id=self._job_id,
                canary=canary,
                since=since,
                also=also,
                counts_as_images=counts_as_images,
            )
            describe_span(job=submission.job_id, images=submission.total)
        if submission.created:
            self._job_id = None
        return submission

    def end(self) -> None:
        """Release everything, unless the job was submitted."""
        if self._job_id is not None:
            end_uploads(self._engine, [self._job_id])
            self._job_id = None

    def _begin(self, connection: Connection, idempotency_key: str | None) -> None:
        parameters = {"submitter": self._submitter, "key": idempotency_key, "lease_s": LEASE_S}
        self._job_id = connection.execute(BEGIN_UPLOAD, parameters).scalar()
        if self._job_id is None:
            raise KeyInUseError
        self._renew_at = time.monotonic() + RENEW_EVERY_S


def read_spooled(line: str) -> Reference:
    """Return the reference on a spooled line."""
    uri, separator, version = line.removesuffix("\n").partition(SEPARATOR)
    return ListedObject(uri, version) if separator else uri
