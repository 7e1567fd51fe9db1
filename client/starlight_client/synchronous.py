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
    """The API at an address, with a key of `starlight keys create`; closes its connections with the block.

    What may pass is tried again, with growing pauses: lost connections, and the answers 408, 429, 502 and 503. A
    submission is stored once all the same. Methods raise RefusedError for what the API refuses, UnreadableAnswerError
    where something else answers, and httpx.TransportError where nothing does.
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
        """Submit a job of what the server finds in buckets and in the chain; it lists them in the background."""
        return self._ask(flows.submit_sources(sources, options))

    def upload(self, paths: Iterable[LocalPath], options: JobOptions = DEFAULTS) -> JobReport:
        """Submit a job of local files, and of all that is below folders; raises OSError where one cannot be read."""
        with pack_files(paths) as archive:
            return self.upload_archive(archive, options)

    def upload_archive(self, archive: IO[bytes], options: JobOptions = DEFAULTS) -> JobReport:
        """Submit a job of the files in a `.tar` archive, an open file that can be read more than once."""
        return self._ask(flows.submit_archive(archive, options))

    def job(self, job_id: JobId) -> JobReport:
        """Return a job with its progress."""
        return self._ask(flows.get_job(job_id))

    def jobs(self, *, only_open: bool = False) -> Iterator[JobReport]:
        """Yield jobs, newest first: all, or those that have not ended."""
        return self._run(flows.list_jobs(only_open=only_open))

    def cancel(self, job_id: JobId) -> Cancellation:
        """Cancel a job; return it, and how many images had no verdict yet and got the error `cancelled`."""
        return self._ask(flows.cancel_job(job_id))

    def verdicts(self, job_id: JobId, **search: Unpack[VerdictSearch]) -> Iterator[Verdict]:
        """Yield the verdicts of a job that there are so far, in the order of submission."""
        return self._run(flows.list_verdicts(job_id, search))

    def verify(self, job_id: JobId) -> Verification:
        """Compare a job's verdicts with its seal, the digest that was stored when it had ended."""
        return self._ask(flows.verify_job(job_id))

    def verdict(self, job_id: JobId, ordinal: int) -> VerdictReport:
        """Return one verdict, and where it comes from."""
        return self._ask(flows.get_verdict(job_id, ordinal))

    def find(self, **search: Unpack[VerdictSearch]) -> Iterator[Verdict]:
        """Yield verdicts of all jobs, newest first."""
        return self._run(flows.find_verdicts(search))

    def image(self, sha256: str) -> Iterator[Verdict]:
        """Yield every verdict on a file with these bytes, newest first."""
        return self._run(flows.find_verdicts_on(sha256))

    def inspect(self, sha256: str) -> ImageInspection:
        """Return everything that is in a file with these bytes, of an image that was uploaded and is still stored."""
        return self._ask(flows.inspect_image(sha256))

    def rescan(self, model: str, *, again: bool = False, **search: Unpack[RescanSearch]) -> Iterator[Rescan]:
        """Have images scanned again that this model judged; yield what becomes of each job that has some.

        Nothing happens unless it is read. What the same call had scanned again before, since a model was chosen, is
        there already, unless `again`.
        """
        return self._run(analysis.rescan(model, search, again=again))

    def compare(self, model: str, other_model: str, **search: Unpack[ComparisonSearch]) -> Comparison:
        """Return on which files two models differ, by their newest verdicts on the same bytes."""
        return self._ask(analysis.compare(model, other_model, search))

    def start_export(
        self,
        format: ExportFormat = ExportFormat.PARQUET,  # noqa: A002 - the name in the API
        **search: Unpack[ExportSearch],
    ) -> ExportReport:
        """Have verdicts exported as files, oldest first; a server makes them aside."""
        return self._ask(analysis.start_export(format, search))

    def exports(self) -> list[ExportReport]:
        """Return the newest exports, newest first."""
        return self._ask(analysis.list_exports()).exports

    def export(self, export_id: ExportId) -> ExportReport:
        """Return an export, with its files so far."""
        return self._ask(analysis.get_export(export_id))

    def wait_for_export(
        self, export_id: ExportId, *, progress: Callable[[ExportReport], object] | None = None
    ) -> ExportReport:
        """Return the export once it is done or has failed; `progress` is called with it whenever it changed."""
        return self._watch(analysis.watch_export(export_id), progress)

    def download_export(self, export_id: ExportId, folder: LocalPath) -> list[Path]:
        """Write the files of an export that is done below a folder, each as its manifest says; return their paths.

        The manifest comes last. Files that are there, whole, are not fetched again: broken off, call it again. Raises
        OSError where one cannot be written.
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
        """Delete an export with its files, or end it."""
        self._ask(analysis.delete_export(export_id))

    def statistics(self) -> Statistics:
        """Return throughput, what waits, outcomes and workers."""
        return self._ask(flows.take_statistics())

    def pauses(self) -> list[PauseReport]:
        """Return what is held back; this and the following are for keys with the scope `admin`."""
        return self._ask(flows.list_pauses()).pauses

    def pause(self, subject: PauseSubject) -> PauseReport:
        """Hold back the chunks of a priority, a submitter or a job, or all; those that run finish."""
        return self._ask(flows.pause(subject))

    def resume(self, pause_id: int) -> PauseReport:
        """End a pause, and return what it was."""
        return self._ask(flows.end_pause(pause_id))

    def drain(self, worker: str | None) -> list[str]:
        """Have a worker, or all where it is None, claim no more chunks; return the names of those that this changed."""
        return self._ask(flows.drain(worker)).workers

    def undrain(self, worker: str | None) -> list[str]:
        """Have a worker, or all where it is None, claim chunks again; return the names of those that this changed."""
        return self._ask(flows.drain(worker, undo=True)).workers

    def requeue(self, wanted: RequeueRequest) -> int:
        """Make chunks pending again that are dispatched or running; return how many."""
        return self._ask(flows.requeue(wanted)).chunks

    def change_priority(self, job_id: JobId, priority: Priority) -> JobReport:
        """Have a job's chunks dispatched with this priority from now on."""
        return self._ask(flows.change_priority(job_id, priority))

    def operations(self, limit: int = 50) -> list[Operation]:
        """Return who of the operators did what when, newest first."""
        return self._ask(flows.list_operations(limit)).operations

    def follow(self, job_id: JobId) -> Iterator[JobReport | Verdict]:
        """Yield verdicts as they land, each once, and the job whenever it changed, until it has ended."""
        return self._run(flows.follow_job(job_id))

    def wait(self, job_id: JobId, *, progress: Callable[[JobReport], object] | None = None) -> JobReport:
        """Return the job once it has ended; `progress` is called with it whenever it changed."""
        return self._watch(flows.watch_job(job_id), progress)

    def _watch(self, flow: Flow[T], progress: Callable[[T], object] | None) -> T:
        """Return the last that the flow finds, and call `progress` with each."""
        for found in self._run(flow):
            if progress is not None:
                progress(found)
        return found

    def _ask(self, exchange: Exchange[T]) -> T:
        (answer,) = self._run(find_answer(exchange))
        return answer

    def _run(self, flow: Flow[T]) -> Iterator[T]:
        """Yield what the flow finds, and do its steps in between."""
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
