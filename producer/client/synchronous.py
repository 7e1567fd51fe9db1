"""The client for programs without an event loop."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import IO, TypeVar, Unpack

import httpx
from httpx_sse import connect_sse

from producer.client import calls
from producer.client.calls import LOST, TIMEOUT, TRIES, Call, Filters, JobId, Options, checked, pause, pause_after
from starlight_vocabulary.answers import Cancellation as Cancelled
from starlight_vocabulary.answers import JobReport as Job
from starlight_vocabulary.answers import Statistics, VerdictPage
from starlight_vocabulary.verdict import Verdict

T = TypeVar("T")


class Starlight:
    """The API at an address, with a key of `starlight keys create`; closes its connections with the block.

    What passes is tried again, with growing pauses: lost connections, 429 and 503. A submission is stored once all the
    same. Methods raise RefusedError for what the API refuses and httpx.TransportError where it cannot be reached.
    """

    def __init__(self, url: str, key: str, *, transport: httpx.BaseTransport | None = None) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT, transport=transport)

    def __enter__(self) -> "Starlight":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(
        self, references: Iterable[str], *, idempotency_key: str | None = None, **options: Unpack[Options]
    ) -> Job:
        """Submit a job of `https://`, `s3://` and `file://` references."""
        return self._send(calls.submitting(references, idempotency_key, options))

    def upload(
        self, paths: Iterable[str | os.PathLike[str]], *, idempotency_key: str | None = None, **options: Unpack[Options]
    ) -> Job:
        """Submit a job of local files, and of all that is below folders."""
        with calls.archived(paths) as archive:
            return self._send(calls.uploading(archive, idempotency_key, options))

    def upload_archive(
        self, archive: IO[bytes], *, idempotency_key: str | None = None, **options: Unpack[Options]
    ) -> Job:
        """Submit a job of the files in a `.tar` archive."""
        return self._send(calls.uploading(archive, idempotency_key, options))

    def job(self, job_id: JobId) -> Job:
        """Return a job with its progress."""
        return self._send(calls.showing(job_id))

    def jobs(self) -> Iterator[Job]:
        """Yield jobs, newest first."""
        url: str | None = None
        while True:
            page = self._send(calls.page_of_jobs(url))
            yield from page.jobs
            if (url := page.next) is None:
                return

    def cancel(self, job_id: JobId) -> Cancelled:
        """Cancel a job; return it, and how many images had no verdict yet and got the error `cancelled`."""
        return self._send(calls.cancelling(job_id))

    def verdicts(self, job_id: JobId, **filters: Unpack[Filters]) -> Iterator[Verdict]:
        """Yield the verdicts of a job that there are so far, in the order of submission."""
        return self._pages(calls.page_of_verdicts(job_id, filters))

    def find(self, **filters: Unpack[Filters]) -> Iterator[Verdict]:
        """Yield verdicts of all jobs, newest first."""
        return self._pages(calls.page_of_found(filters))

    def image(self, sha256: str) -> Iterator[Verdict]:
        """Yield every verdict on a file with these bytes, newest first."""
        return self._pages(calls.page_on_image(sha256))

    def stats(self) -> Statistics:
        """Return throughput, what waits, outcomes and workers."""
        return self._send(calls.figures())

    def follow(self, job_id: JobId) -> Iterator[Job | Verdict]:
        """Yield verdicts as they land, each once, and the job whenever it changed, until it has ended."""
        url, last, tried = f"{calls.showing(job_id).url}/events", "", 0
        while True:
            headers = {"Last-Event-ID": last} if last else {}
            wait_s: float | None = None
            try:
                with connect_sse(self._http, "GET", url, headers=headers) as source:
                    if not source.response.is_success:
                        source.response.read()
                        if (wait_s := pause_after(source.response, tried + 1)) is None:
                            checked(source.response)
                    else:
                        for event in source.iter_sse():
                            tried, last = 0, event.id or last
                            if (told := calls.happened(event.event, event.data)) is not None:
                                yield told
                            if event.event == "done":
                                return
            except LOST:
                if tried + 1 >= TRIES:
                    raise
            tried += 1
            time.sleep(pause(tried) if wait_s is None else wait_s)

    def wait(self, job_id: JobId, *, progress: Callable[[Job], object] | None = None) -> Job:
        """Return the job once it has ended; `progress` is called with it whenever it changed."""
        known = None
        for pause_s in calls.looks():
            job = self.job(job_id)
            if job != known and progress is not None:
                progress(job)
            if job.finished == job.total:
                return job
            known = job
            time.sleep(pause_s)
        raise AssertionError("looks do not end")

    def _pages(self, first: Call[VerdictPage]) -> Iterator[Verdict]:
        following: Call[VerdictPage] | None = first
        while following is not None:
            page = self._send(following)
            yield from page.verdicts
            following = calls.page_after(page)

    def _send(self, call: Call[T]) -> T:
        for tried in range(1, TRIES + 1):
            if call.content is not None and not isinstance(call.content, bytes):
                call.content.seek(0)
            try:
                response = self._http.request(
                    call.method, call.url, params=call.params or None, headers=call.headers, content=call.content
                )
            except LOST:
                if tried == TRIES:
                    raise
                time.sleep(pause(tried))
                continue
            if (wait_s := pause_after(response, tried)) is None:
                return call.read(checked(response))
            time.sleep(wait_s)
        raise AssertionError("the last try returns or raises")
