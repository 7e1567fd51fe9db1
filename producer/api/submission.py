"""What keys submit: every route that takes something in for a job does it here."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from starlette.concurrency import run_in_threadpool

from producer.api.access import reject_for_waiting
from producer.api.problems import ProblemError, reject_field
from producer.api.service import Service
from producer.sources.archives import ArchiveTooLargeError
from starlight_vocabulary.job import JobOptions, JobSources
from starlight_vocabulary.words import Scope
from storage.jobs import EmptyJobError, Reference, Submission, UploadExpiredError
from storage.keys import ApiKey
from storage.listings import TooManyListingsError, insert_listing
from storage.uploads import KeyInUseError, StorageFullError, StoredBytesError, Upload
from storage.waiting import TooManyWaitingError

# What is told to whoever uses an idempotency key that is in use, or finds the disk full.
IN_USE_RETRY_S = 5
FULL_RETRY_S = 60


@asynccontextmanager
async def open_upload(service: Service, key: ApiKey) -> AsyncIterator[Upload]:
    """Yield an upload of this key, of which nothing is left after the block unless it was submitted.

    Raises as problems what stands against taking it in: 408, 409, 413, 422, 429 and 507.
    """
    upload = Upload(service.engine, service.blobs, key.name, service.storage_limits)
    try:
        yield upload
    except EmptyJobError as error:
        raise reject_field("body", str(error)) from error
    except ArchiveTooLargeError as error:
        raise ProblemError(413, f"the archive {error.reason}") from error
    except StoredBytesError as error:
        detail = f"{error}: they are deleted STARLIGHT_BLOB_RETENTION after the jobs have ended"
        raise ProblemError(413, detail) from error
    except UploadExpiredError as error:
        raise ProblemError(408, "the request came in too slowly, and what there was of it is gone") from error
    except KeyInUseError as error:
        detail = "another request with this idempotency key is coming in; ask again when it has ended"
        raise ProblemError(409, detail, headers={"Retry-After": str(IN_USE_RETRY_S)}) from error
    except TooManyWaitingError as error:
        raise reject_for_waiting(error) from error
    except TooManyListingsError as error:
        raise ProblemError(429, str(error), headers={"Retry-After": str(FULL_RETRY_S)}) from error
    except StorageFullError as error:
        raise ProblemError(507, str(error), headers={"Retry-After": str(FULL_RETRY_S)}) from error
    finally:
        if upload.is_begun:
            await run_in_threadpool(upload.end)


def submit_for(service: Service, upload: Upload, references: Iterable[Reference], options: JobOptions) -> Submission:
    """Submit what was uploaded, as references whose files were resolved; raises what `Upload.submit` does.

    Links that stand in their paths later are not followed.
    """
    return upload.submit(
        references,
        options,
        chunk_size=service.settings.chunk_size,
        follow_links=False,
        limits=service.waiting_limits,
    )


def submit_sources_for(
    service: Service, key: ApiKey, upload: Upload, sources: JobSources, options: JobOptions
) -> Submission:
    """Submit a job whose sources, which were checked, are listed in the background; raises what `Upload.submit` does.

    Raises TooManyListingsError.
    """
    buckets = None if key.allows(Scope.ADMIN) else key.buckets
    return upload.submit(
        [[*sources.uris, *sources.manifests][0]],
        options,
        chunk_size=service.settings.chunk_size,
        follow_links=False,
        limits=service.waiting_limits,
        since=sources.since,
        also=lambda connection, job_id: insert_listing(connection, job_id, sources, buckets),
        counts_as_images=False,
    )
