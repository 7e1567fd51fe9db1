"""The client for programs without an event loop."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar, Unpack

import httpx
from httpx_sse import ServerSentEvent, connect_sse

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


class Starlight:
    """A client of the API at an address, with a key of `starlight keys create`; a context manager.

    After lost connections and the answers 408, 429, 502 and 503, requests are retried with exponential backoff; a
    submission is stored only once even so; each retry is logged as a warning of the logger `starlight_client`. Methods
    raise RefusedError if the API refuses a request, UnreadableAnswerError if another program answers, and
    httpx.TransportError if nothing answers. A malformed address or key raises it at once.
    """

    def __init__(self, url: str, key: str, *, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(**connection_options(url, key), transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(self, references: Iterable[str], options: JobOptions = DEFAULTS) -> JobReport:
        """Submit a job of `https://`, `s3://` and `file://` references."""
        return self._ask(flows.submit_references(references, options))

    def submit_sources(self, sources: JobSources, options: JobOptions = DEFAULTS) -> JobReport:
        """Submit a job whose sources, in buckets or the chain, the server lists in the background."""
        return self._ask(flows.submit_sources(sources, options))

    def upload(self, paths: Iterable[LocalPath], options: JobOptions = DEFAULTS) -> JobReport:
        """Submit a job of local files and of everything below folders; raises OSError if a file cannot be read."""
        with pack_files(paths) as archive:
            return self.upload_archive(archive, options)

    def upload_archive(self, archive: IO[bytes], options: JobOptions = DEFAULTS) -> JobReport:
        """Submit a job of the files in a `.tar` archive, which must be a seekable open file."""
        return self._ask(flows.submit_archive(archive, options))

    def job(self, job_id: JobId) -> JobReport:
        """Return a job with its progress."""
        return self._ask(flows.get_job(job_id))

    def jobs(self, *, only_open: bool = False, limit: int | None = None) -> Iterator[JobReport]:
        """Yield jobs, newest first: all, or those that have not ended; at most `limit`."""
        return self._run(flows.list_jobs(only_open=only_open, limit=limit))

    def cancel(self, job_id: JobId) -> Cancellation:
        """Cancel a job; return it, and how many images got the error `cancelled` because they had no verdict yet."""
        return self._ask(flows.cancel_job(job_id))

    def verdicts(
        self, job_id: JobId, *, limit: int | None = None, **search: Unpack[VerdictSearch]
    ) -> Iterator[Verdict]:
        """Yield the verdicts of a job so far, in the order of submission; at most `limit`."""
        return self._run(flows.list_verdicts(job_id, search, limit))

    def verify(self, job_id: JobId) -> Verification:
        """Compare a job's verdicts with its seal, the digest that was stored when the job ended."""
        return self._ask(flows.verify_job(job_id))

    def verdict(self, job_id: JobId, ordinal: int) -> VerdictReport:
        """Return one verdict with its provenance."""
        return self._ask(flows.get_verdict(job_id, ordinal))

    def find(self, *, limit: int | None = None, **search: Unpack[VerdictSearch]) -> Iterator[Verdict]:
        """Yield verdicts of all jobs, newest first; at most `limit`."""
        return self._run(flows.find_verdicts(search, limit))

    def image(self, sha256: str) -> Iterator[Verdict]:
        """Yield every verdict on a file with these bytes, newest first."""
        return self._run(flows.find_verdicts_on(sha256))

    def inspect(self, sha256: str) -> ImageInspection:
        """Return everything that is in an image with these bytes, if it was uploaded and is still stored."""
        return self._ask(flows.inspect_image(sha256))

    def rescan(self, model: str, *, again: bool = False, **search: Unpack[RescanSearch]) -> Iterator[Rescan]:
        """Scan the images again that this model judged; yield the result for each job that has some.

        Requests are sent only as the iterator is consumed. A repeated call returns the jobs of the earlier one, unless
        another model was chosen since or `again` is true.
        """
        return self._run(analysis.rescan(model, search, again=again))

    def compare(self, model: str, other_model: str, **search: Unpack[ComparisonSearch]) -> Comparison:
        """Return the files on which two models differ, by their newest verdicts on the same bytes."""
        return self._ask(analysis.compare(model, other_model, search))

    def start_export(
        self,
        format: ExportFormat = ExportFormat.PARQUET,  # noqa: A002 - the name in the API
        **search: Unpack[ExportSearch],
    ) -> ExportReport:
        """Start an export of verdicts, oldest first; the server writes its files in the background."""
        return self._ask(analysis.start_export(format, search))

    def exports(self) -> list[ExportReport]:
        """Return the newest exports, newest first."""
        return self._ask(analysis.list_exports()).exports

    def export(self, export_id: ExportId) -> ExportReport:
        """Return an export with its files so far."""
        return self._ask(analysis.get_export(export_id))

    def wait_for_export(
        self, export_id: ExportId, *, progress: Callable[[ExportReport], object] | None = None
    ) -> ExportReport:
        """Wait until an export is done or has failed, and return it; `progress` is called with it on each change."""
        return self._watch(analysis.watch_export(export_id), progress)

    def download_export(self, export_id: ExportId, folder: LocalPath) -> list[Path]:
        """Download the files of a finished export into a folder, checked against its manifest; return their paths.

        The manifest is written last. Complete files are not downloaded again, so an interrupted download can be
        repeated. Raises OSError if a file cannot be written.
        """
        place, manifest = Path(folder), self._ask(analysis.fetch_manifest(export_id))
        parts = read_parts(manifest)
        for part in parts:
            if not is_there(place, part):
                with open_part(place, part) as file:
                    self._ask(analysis.fetch_file(export_id, part.path, file))
                    finish_part(file, place, part)
        save_manifest(place, manifest)
        return [place / part.path for part in parts]

    def delete_export(self, export_id: ExportId) -> None:
        """Delete an export and its files, or cancel it if it is running."""
        self._ask(analysis.delete_export(export_id))

    def statistics(self) -> Statistics:
        """Return throughput, waiting images, outcomes and workers."""
        return self._ask(flows.take_statistics())

    def pauses(self) -> list[PauseReport]:
        """Return the pauses in effect; this method and the following need a key with the scope `admin`."""
        return self._ask(flows.list_pauses()).pauses

    def pause(self, subject: PauseSubject) -> PauseReport:
        """Pause the chunks of a priority, a submitter or a job, or all; running chunks finish."""
        return self._ask(flows.pause(subject))

    def resume(self, pause_id: int) -> PauseReport:
        """End a pause, and return it."""
        return self._ask(flows.end_pause(pause_id))

    def drain(self, worker: str | None) -> list[str]:
        """Drain a worker, or all if it is None: it claims no more chunks. Return the workers that this changed."""
        return self._ask(flows.drain(worker)).workers

    def undrain(self, worker: str | None) -> list[str]:
        """Let a worker, or all if it is None, claim chunks again. Return the workers that this changed."""
        return self._ask(flows.drain(worker, undo=True)).workers

    def requeue(self, wanted: RequeueRequest) -> int:
        """Make dispatched and running chunks pending again; return how many."""
        return self._ask(flows.requeue(wanted)).chunks

    def change_priority(self, job_id: JobId, priority: Priority) -> JobReport:
        """Dispatch a job's chunks with this priority from now on."""
        return self._ask(flows.change_priority(job_id, priority))

    def operations(self, limit: int = 50) -> list[Operation]:
        """Return the operations of operators, newest first."""
        return self._ask(flows.list_operations(limit)).operations

    def follow(self, job_id: JobId) -> Iterator[JobReport | Verdict]:
        """Yield verdicts as they land, each once, and the job whenever it changed, until the job has ended."""
        return self._run(flows.follow_job(job_id))

    def wait(self, job_id: JobId, *, progress: Callable[[JobReport], object] | None = None) -> JobReport:
        """Wait until a job has ended, and return it; `progress` is called with it on each change."""
        return self._watch(flows.watch_job(job_id), progress)

    def _watch(self, flow: Flow[T], progress: Callable[[T], object] | None) -> T:
        """Return the last item of the flow, and call `progress` with each."""
        for found in self._run(flow):
            if progress is not None:
                progress(found)
        return found

    def _ask(self, exchange: Exchange[T]) -> T:
        (answer,) = self._run(find_answer(exchange))
        return answer

    def _run(self, flow: Flow[T]) -> Iterator[T]:
        """Yield the items of the flow, and perform its steps."""
        result: Result = None
        events: Iterator[ServerSentEvent]
        with ExitStack() as stream:
            while (step := resume(flow, result)) is not None:
                result = None
                try:
                    match step:
                        case Pause():
                            time.sleep(step.seconds)
                        case Request():
                            result = self._send(step)
                        case Fetch():
                            result = self._fetch(step)
                        case OpenEvents():
                            stream.close()
                            source = stream.enter_context(
                                connect_sse(self._http, "GET", step.url, headers=step.headers)
                            )
                            result, events = source.response, source.iter_sse()
                            if not result.is_success:
                                result.read()
                        case ReadEvent():
                            result = next(events, None)
                        case found:
                            yield found
                except LOST as error:
                    result = error

    def _send(self, request: Request) -> httpx.Response:
        if request.content is not None and not isinstance(request.content, bytes):
            request.content.seek(0)
        return self._http.request(
            request.method, request.url, params=request.params, headers=request.headers, content=request.content
        )

    def _fetch(self, step: Fetch) -> httpx.Response:
        with self._http.stream("GET", step.url) as response:
            if response.is_success:
                step.file.seek(0)
                step.file.truncate()
                for piece in response.iter_bytes(PIECE_BYTES):
                    step.file.write(piece)
            else:
                response.read()
        return response
