"""The client for programs that run an event loop."""

import os
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import IO, TypeVar, Unpack

import anyio
import httpx
from anyio import to_thread
from httpx_sse import aconnect_sse

from producer.client import calls
from producer.client.calls import LOST, TIMEOUT, TRIES, Call, Filters, JobId, Options, checked, pause, pause_after
from starlight_vocabulary.answers import Cancellation as Cancelled
from starlight_vocabulary.answers import JobReport as Job
from starlight_vocabulary.answers import Statistics, VerdictPage
from starlight_vocabulary.verdict import Verdict

T = TypeVar("T")


class AsyncStarlight:
    """What `Starlight` is, with coroutines and asynchronous iterators."""

    def __init__(self, url: str, key: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT, transport=transport)

    async def __aenter__(self) -> "AsyncStarlight":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def submit(
        self, references: Iterable[str], *, idempotency_key: str | None = None, **options: Unpack[Options]
    ) -> Job:
        """Submit a job of `https://`, `s3://` and `file://` references."""
        return await self._send(calls.submitting(references, idempotency_key, options))

    async def upload(
        self, paths: Iterable[str | os.PathLike[str]], *, idempotency_key: str | None = None, **options: Unpack[Options]
    ) -> Job:
        """Submit a job of local files, and of all that is below folders."""
        with await to_thread.run_sync(calls.archived, paths) as archive:
            return await self._send(calls.uploading(archive, idempotency_key, options))

    async def upload_archive(
        self, archive: IO[bytes], *, idempotency_key: str | None = None, **options: Unpack[Options]
    ) -> Job:
        """Submit a job of the files in a `.tar` archive."""
        return await self._send(calls.uploading(archive, idempotency_key, options))

    async def job(self, job_id: JobId) -> Job:
        """Return a job with its progress."""
        return await self._send(calls.showing(job_id))

    async def jobs(self) -> AsyncIterator[Job]:
        """Yield jobs, newest first."""
        url: str | None = None
        while True:
            page = await self._send(calls.page_of_jobs(url))
            for job in page.jobs:
                yield job
            if (url := page.next) is None:
                return

    async def cancel(self, job_id: JobId) -> Cancelled:
        """Cancel a job; return it, and how many images had no verdict yet and got the error `cancelled`."""
        return await self._send(calls.cancelling(job_id))

    def verdicts(self, job_id: JobId, **filters: Unpack[Filters]) -> AsyncIterator[Verdict]:
        """Yield the verdicts of a job that there are so far, in the order of submission."""
        return self._pages(calls.page_of_verdicts(job_id, filters))

    def find(self, **filters: Unpack[Filters]) -> AsyncIterator[Verdict]:
        """Yield verdicts of all jobs, newest first."""
        return self._pages(calls.page_of_found(filters))

    def image(self, sha256: str) -> AsyncIterator[Verdict]:
        """Yield every verdict on a file with these bytes, newest first."""
        return self._pages(calls.page_on_image(sha256))

    async def stats(self) -> Statistics:
        """Return throughput, what waits, outcomes and workers."""
        return await self._send(calls.figures())

    async def follow(self, job_id: JobId) -> AsyncIterator[Job | Verdict]:
        """Yield verdicts as they land, each once, and the job whenever it changed, until it has ended."""
        url, last, tried = f"{calls.showing(job_id).url}/events", "", 0
        while True:
            headers = {"Last-Event-ID": last} if last else {}
            wait_s: float | None = None
            try:
                async with aconnect_sse(self._http, "GET", url, headers=headers) as source:
                    if not source.response.is_success:
                        await source.response.aread()
                        if (wait_s := pause_after(source.response, tried + 1)) is None:
                            checked(source.response)
                    else:
                        async for event in source.aiter_sse():
                            tried, last = 0, event.id or last
                            if (told := calls.happened(event.event, event.data)) is not None:
                                yield told
                            if event.event == "done":
                                return
            except LOST:
                if tried + 1 >= TRIES:
                    raise
            tried += 1
            await anyio.sleep(pause(tried) if wait_s is None else wait_s)

    async def wait(self, job_id: JobId, *, progress: Callable[[Job], object] | None = None) -> Job:
        """Return the job once it has ended; `progress` is called with it whenever it changed."""
        known = None
        for pause_s in calls.looks():
            job = await self.job(job_id)
            if job != known and progress is not None:
                progress(job)
            if job.finished == job.total:
                return job
            known = job
            await anyio.sleep(pause_s)
        raise AssertionError("looks do not end")

    async def _pages(self, first: Call[VerdictPage]) -> AsyncIterator[Verdict]:
        following: Call[VerdictPage] | None = first
        while following is not None:
            page = await self._send(following)
            for verdict in page.verdicts:
                yield verdict
            following = calls.page_after(page)

    async def _send(self, call: Call[T]) -> T:
        for tried in range(1, TRIES + 1):
            try:
                response = await self._http.request(
                    call.method, call.url, params=call.params or None, headers=call.headers, content=_sent(call.content)
                )
            except LOST:
                if tried == TRIES:
                    raise
                await anyio.sleep(pause(tried))
                continue
            if (wait_s := pause_after(response, tried)) is None:
                return call.read(checked(response))
            await anyio.sleep(wait_s)
        raise AssertionError("the last try returns or raises")


def _sent(content: bytes | IO[bytes] | None) -> bytes | AsyncIterator[bytes] | None:
    return content if content is None or isinstance(content, bytes) else _pieces(content)


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    await to_thread.run_sync(file.seek, 0)
    while piece := await to_thread.run_sync(file.read, 2**18):
        yield piece
