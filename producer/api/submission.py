"""Submitting jobs for API keys; all routes that submit use this module."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from starlette.concurrency import run_in_threadpool

from producer.api.access import reject_for_waiting
from producer.api.problems import ProblemError, reject_field
from producer.api.service import Service
from producer.sources.archives import ArchiveTooLargeError
from starlight_vocabulary.job import JobOptions, JobSources
from starlight_vocabulary.words import Scope
from storage.keys import ApiKey
from storage.listings import TooManyListingsError, insert_listing
from storage.storage_limits import StorageFullError, StoredBytesError
from storage.submission import EmptyJobError, Reference, Submission, UploadExpiredError
from storage.uploads import KeyInUseError, Upload
from storage.waiting import TooManyWaitingError

# Retry-After for an idempotency key in use, and for a full disk or too many listings.
IN_USE_RETRY_S = 5
FULL_RETRY_S = 60


@asynccontextmanager
async def open_upload(service: Service, key: ApiKey) -> AsyncIterator[Upload]:
    """Yield an upload of this key; it is deleted after the block unless it was submitted.

    Errors of the submission become problems: 408, 409, 413, 422, 429 and 507.
    """
    upload = Upload(service.engine, service.blobs, key.name, service.storage_limits)
    try:
        yield upload
    except EmptyJobError as error:
        raise reject_field("body", str(error)) from error
    except ArchiveTooLargeError as error:
        raise ProblemError(413, f"the archive {error.reason}") from error
    except StoredBytesError as error:
        detail = f"{error}: stored images are deleted STARLIGHT_BLOB_RETENTION after their jobs have ended"
        raise ProblemError(413, detail) from error
    except UploadExpiredError as error:
        raise ProblemError(408, "the request was sent too slowly, and its upload has expired: send it again") from error
    except KeyInUseError as error:
        detail = "another request with this idempotency key is in progress; try again when it has ended"
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
    """Submit an upload with references, whose files are already resolved; raises what `Upload.submit` raises.

    Symbolic links that appear in their paths later are not followed.
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
    """Submit a job with checked sources, which are listed in the background.

    Raises TooManyListingsError, and what `Upload.submit` raises.
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
