"""The client for programs on asyncio."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar, Unpack

import httpx
from httpx_sse import ServerSentEvent, aconnect_sse

from starlight_client import analysis, flows
from starlight_client.analysis import ComparisonSearch, ExportId, ExportSearch, RescanSearch
from starlight_client.exchanges import (
    LOST,
    Exchange,
    Fetch,
    Flow,
    OpenEvents,
    Pause,
    ReadEvent,
    Request,
    Result,
    connection_options,
    find_answer,
    resume,
)
from starlight_client.flows import DEFAULTS, JobId, VerdictSearch
from starlight_client.packing import LocalPath, pack_files
from starlight_client.saving import finish_part, is_there, open_part, read_parts, save_manifest
from starlight_vocabulary.answers import Cancellation, JobReport, Statistics, VerdictReport, Verification
from starlight_vocabulary.comparison import Comparison
from starlight_vocabulary.exports import ExportReport
from starlight_vocabulary.formats import ExportFormat
from starlight_vocabulary.inspection import ImageInspection
from starlight_vocabulary.job import JobOptions, JobSources
from starlight_vocabulary.operations import Operation, PauseReport, PauseSubject, RequeueRequest
from starlight_vocabulary.rescan import Rescan
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import Priority

T = TypeVar("T")
PIECE_BYTES = 2**18


class AsyncStarlight:
    """Like `Starlight`, with coroutines and asynchronous iterators."""

    def __init__(self, url: str, key: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._http = httpx.AsyncClient(**connection_options(url, key), transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def submit(self, references: Iterable[str], options: JobOptions = DEFAULTS) -> JobReport:
        """Submit a job of `https://`, `s3://` and `file://` references."""
        return await self._ask(flows.submit_references(references, options))

    async def submit_sources(self, sources: JobSources, options: JobOptions = DEFAULTS) -> JobReport:
        """Submit a job whose sources, in buckets or the chain, the server lists in the background."""
        return await self._ask(flows.submit_sources(sources, options))

    async def upload(self, paths: Iterable[LocalPath], options: JobOptions = DEFAULTS) -> JobReport:
        """Submit a job of local files and of everything below folders; raises OSError if a file cannot be read."""
        with await asyncio.to_thread(pack_files, paths) as archive:
            return await self.upload_archive(archive, options)

    async def upload_archive(self, archive: IO[bytes], options: JobOptions = DEFAULTS) -> JobReport:
        """Submit a job of the files in a `.tar` archive, which must be a seekable open file."""
        return await self._ask(flows.submit_archive(archive, options))

    async def job(self, job_id: JobId) -> JobReport:
        """Return a job with its progress."""
        return await self._ask(flows.get_job(job_id))

    def jobs(self, *, only_open: bool = False, limit: int | None = None) -> AsyncIterator[JobReport]:
        """Yield jobs, newest first: all, or those that have not ended; at most `limit`."""
        return self._run(flows.list_jobs(only_open=only_open, limit=limit))

    async def cancel(self, job_id: JobId) -> Cancellation:
        """Cancel a job; return it, and how many images got the error `cancelled` because they had no verdict yet."""
        return await self._ask(flows.cancel_job(job_id))

    def verdicts(
        self, job_id: JobId, *, limit: int | None = None, **search: Unpack[VerdictSearch]
    ) -> AsyncIterator[Verdict]:
        """Yield the verdicts of a job so far, in the order of submission; at most `limit`."""
        return self._run(flows.list_verdicts(job_id, search, limit))

    async def verify(self, job_id: JobId) -> Verification:
        """Compare a job's verdicts with its seal, the digest that was stored when the job ended."""
        return await self._ask(flows.verify_job(job_id))

    async def verdict(self, job_id: JobId, ordinal: int) -> VerdictReport:
        """Return one verdict with its provenance."""
        return await self._ask(flows.get_verdict(job_id, ordinal))

    def find(self, *, limit: int | None = None, **search: Unpack[VerdictSearch]) -> AsyncIterator[Verdict]:
        """Yield verdicts of all jobs, newest first; at most `limit`."""
        return self._run(flows.find_verdicts(search, limit))

    def image(self, sha256: str) -> AsyncIterator[Verdict]:
        """Yield every verdict on a file with these bytes, newest first."""
        return self._run(flows.find_verdicts_on(sha256))

    async def inspect(self, sha256: str) -> ImageInspection:
        """Return everything that is in an image with these bytes, if it was uploaded and is still stored."""
        return await self._ask(flows.inspect_image(sha256))

    def rescan(self, model: str, *, again: bool = False, **search: Unpack[RescanSearch]) -> AsyncIterator[Rescan]:
        """Scan the images again that this model judged; yield the result for each job that has some.

        Requests are sent only as the iterator is consumed. A repeated call returns the jobs of the earlier one, unless
        another model was chosen since or `again` is true.
        """
        return self._run(analysis.rescan(model, search, again=again))

    async def compare(self, model: str, other_model: str, **search: Unpack[ComparisonSearch]) -> Comparison:
        """Return the files on which two models differ, by their newest verdicts on the same bytes."""
        return await self._ask(analysis.compare(model, other_model, search))

    async def start_export(
        self,
        format: ExportFormat = ExportFormat.PARQUET,  # noqa: A002 - the name in the API
        **search: Unpack[ExportSearch],
    ) -> ExportReport:
        """Start an export of verdicts, oldest first; the server writes its files in the background."""
        return await self._ask(analysis.start_export(format, search))

    async def exports(self) -> list[ExportReport]:
        """Return the newest exports, newest first."""
        return (await self._ask(analysis.list_exports())).exports

    async def export(self, export_id: ExportId) -> ExportReport:
        """Return an export with its files so far."""
        return await self._ask(analysis.get_export(export_id))

    async def wait_for_export(
        self, export_id: ExportId, *, progress: Callable[[ExportReport], object] | None = None
    ) -> ExportReport:
        """Wait until an export is done or has failed, and return it; `progress` is called with it on each change."""
        return await self._watch(analysis.watch_export(export_id), progress)

    async def download_export(self, export_id: ExportId, folder: LocalPath) -> list[Path]:
        """Download the files of a finished export into a folder, checked against its manifest; return their paths.

        The manifest is written last. Complete files are not downloaded again, so an interrupted download can be
        repeated. Raises OSError if a file cannot be written.
        """
        place, manifest = Path(folder), await self._ask(analysis.fetch_manifest(export_id))
        parts = read_parts(manifest)
        for part in parts:
            if not await asyncio.to_thread(is_there, place, part):
                with open_part(place, part) as file:
                    await self._ask(analysis.fetch_file(export_id, part.path, file))
                    await asyncio.to_thread(finish_part, file, place, part)
        save_manifest(place, manifest)
        return [place / part.path for part in parts]

    async def delete_export(self, export_id: ExportId) -> None:
        """Delete an export and its files, or cancel it if it is running."""
        await self._ask(analysis.delete_export(export_id))

    async def statistics(self) -> Statistics:
        """Return throughput, waiting images, outcomes and workers."""
        return await self._ask(flows.take_statistics())

    async def pauses(self) -> list[PauseReport]:
        """Return the pauses in effect; this method and the following need a key with the scope `admin`."""
        return (await self._ask(flows.list_pauses())).pauses

    async def pause(self, subject: PauseSubject) -> PauseReport:
        """Pause the chunks of a priority, a submitter or a job, or all; running chunks finish."""
        return await self._ask(flows.pause(subject))

    async def resume(self, pause_id: int) -> PauseReport:
        """End a pause, and return it."""
        return await self._ask(flows.end_pause(pause_id))

    async def drain(self, worker: str | None) -> list[str]:
        """Drain a worker, or all if it is None: it claims no more chunks. Return the workers that this changed."""
        return (await self._ask(flows.drain(worker))).workers

    async def undrain(self, worker: str | None) -> list[str]:
        """Let a worker, or all if it is None, claim chunks again. Return the workers that this changed."""
        return (await self._ask(flows.drain(worker, undo=True))).workers

    async def requeue(self, wanted: RequeueRequest) -> int:
        """Make dispatched and running chunks pending again; return how many."""
        return (await self._ask(flows.requeue(wanted))).chunks

    async def change_priority(self, job_id: JobId, priority: Priority) -> JobReport:
        """Dispatch a job's chunks with this priority from now on."""
        return await self._ask(flows.change_priority(job_id, priority))

    async def operations(self, limit: int = 50) -> list[Operation]:
        """Return the operations of operators, newest first."""
        return (await self._ask(flows.list_operations(limit))).operations

    def follow(self, job_id: JobId) -> AsyncIterator[JobReport | Verdict]:
        """Yield verdicts as they land, each once, and the job whenever it changed, until the job has ended."""
        return self._run(flows.follow_job(job_id))

    async def wait(self, job_id: JobId, *, progress: Callable[[JobReport], object] | None = None) -> JobReport:
        """Wait until a job has ended, and return it; `progress` is called with it on each change."""
        return await self._watch(flows.watch_job(job_id), progress)

    async def _watch(self, flow: Flow[T], progress: Callable[[T], object] | None) -> T:
        """Return the last item of the flow, and call `progress` with each."""
        async for found in self._run(flow):
            if progress is not None:
                progress(found)
        return found

    async def _ask(self, exchange: Exchange[T]) -> T:
        (answer,) = [answer async for answer in self._run(find_answer(exchange))]
        return answer

    async def _run(self, flow: Flow[T]) -> AsyncIterator[T]:
        """Yield the items of the flow, and perform its steps."""
        result: Result = None
        events: AsyncIterator[ServerSentEvent]
        async with AsyncExitStack() as stream:
            while (step := resume(flow, result)) is not None:
                result = None
                try:
                    match step:
                        case Pause():
                            await asyncio.sleep(step.seconds)
                        case Request():
                            result = await self._send(step)
                        case Fetch():
                            result = await self._fetch(step)
                        case OpenEvents():
                            await stream.aclose()
                            source = await stream.enter_async_context(
                                aconnect_sse(self._http, "GET", step.url, headers=step.headers)
                            )
                            result, events = source.response, source.aiter_sse()
                            if not result.is_success:
                                await result.aread()
                        case ReadEvent():
                            result = await anext(events, None)
                        case found:
                            yield found
                except LOST as error:
                    result = error

    async def _send(self, request: Request) -> httpx.Response:
        content = request.content
        return await self._http.request(
            request.method,
            request.url,
            params=request.params,
            headers=request.headers,
            content=content if content is None or isinstance(content, bytes) else _read_pieces(content),
        )

    async def _fetch(self, step: Fetch) -> httpx.Response:
        async with self._http.stream("GET", step.url) as response:
            if response.is_success:
                step.file.seek(0)
                step.file.truncate()
                async for piece in response.aiter_bytes(PIECE_BYTES):
                    await asyncio.to_thread(step.file.write, piece)
            else:
                await response.aread()
        return response


async def _read_pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    await asyncio.to_thread(file.seek, 0)
    while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
        yield piece
