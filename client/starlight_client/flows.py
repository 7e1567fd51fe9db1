"""The requests of the API and the parsing of its answers, without I/O."""

import json
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Final, TypedDict, TypeVar
from urllib.parse import quote

import httpx
from httpx_sse import ServerSentEvent

from starlight_client.errors import UnreadableAnswerError
from starlight_client.exchanges import Backoff, Exchange, Flow, OpenEvents, Pause, ReadEvent, Request, send, to_header
from starlight_client.packing import require_several
from starlight_vocabulary.answers import (
    Cancellation,
    JobPage,
    JobReport,
    Statistics,
    VerdictPage,
    VerdictReport,
    Verification,
)
from starlight_vocabulary.exports import ExportReport
from starlight_vocabulary.formats import JSON, ArchiveFormat, ExportFormat
from starlight_vocabulary.inspection import ImageInspection
from starlight_vocabulary.job import JobOptions, JobSources
from starlight_vocabulary.operations import (
    Draining,
    OperationList,
    PauseList,
    PauseReport,
    PauseSubject,
    PriorityChange,
    Requeueing,
    RequeueRequest,
)
from starlight_vocabulary.records import from_json, to_json
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import ErrorCode, Method, Outcome, Priority

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

JobId = uuid.UUID | str
T = TypeVar("T")
Page = TypeVar("Page", JobPage, VerdictPage)
Ending = TypeVar("Ending", JobReport, ExportReport)
Record = TypeVar("Record", bound="DataclassInstance")

DEFAULTS: Final = JobOptions()
# The most that the API puts on a page.
PAGE = 1000
# The interval between polls: short at first, for jobs that end at once.
FIRST_POLL_S: Final = 0.05
LONGEST_POLL_S: Final = 2.0


class ImageSearch(TypedDict, total=False):
    """Filters for verdicts; times without a zone are in UTC, `until` is exclusive, `sha256` is in hex.

    All of `words` occur in the message, in any order; `part` occurs in it literally. `inscription` is `TXID:iN` of the
    chain, or `TXID` for all inscriptions of a transaction.
    """

    outcome: Outcome | None
    method: Method | None
    since: datetime | None
    until: datetime | None
    sha256: str | None
    words: str | None
    part: str | None
    inscription: str | None
    error_code: Sequence[ErrorCode] | None


class VerdictSearch(ImageSearch, total=False):
    """Filters for verdicts, also by model; `model` is NAME-VERSION, VERSION, or a prefix of its weights' SHA-256."""

    model: str | None


def submit_references(references: Iterable[str], options: JobOptions) -> Exchange[JobReport]:
    """Submit a job of references; raises TypeError for a single string."""
    require_several(references, "references")
    lines = "".join(json.dumps(reference) + "\n" for reference in references)
    return _submit(lines.encode("ascii"), ExportFormat.NDJSON.media_type, options)


def submit_sources(sources: JobSources, options: JobOptions) -> Exchange[JobReport]:
    """Submit a job whose sources the server lists."""
    given = {name: value for name, value in to_json(options).items() if value is not None}
    content = json.dumps({**given, "sources": to_json(sources)}).encode("ascii")
    return _submit(content, JSON, options)


def submit_archive(archive: IO[bytes], options: JobOptions) -> Exchange[JobReport]:
    """Submit a job of the files in a `.tar` archive."""
    return _submit(archive, ArchiveFormat.TAR.media_type, options)


def _submit(content: bytes | IO[bytes], media_type: str, options: JobOptions) -> Exchange[JobReport]:
    params = asdict(options)
    # The key makes it safe to retry a request whose answer was lost.
    key = to_header("idempotency key", params.pop("idempotency_key") or str(uuid.uuid4()))
    headers = {"Content-Type": media_type, "Idempotency-Key": key}
    return ask(JobReport, Request("POST", "/v1/jobs", to_params(params), headers, content))


def get_job(job_id: JobId) -> Exchange[JobReport]:
    """Ask for a job."""
    return ask(JobReport, Request("GET", _path_of(job_id)))


def cancel_job(job_id: JobId) -> Exchange[Cancellation]:
    """Cancel a job."""
    return ask(Cancellation, Request("DELETE", _path_of(job_id)))


def take_statistics() -> Exchange[Statistics]:
    """Ask for statistics about the whole installation."""
    return ask(Statistics, Request("GET", "/v1/stats"))


def list_pauses() -> Exchange[PauseList]:
    """Ask for the pauses in effect."""
    return ask(PauseList, Request("GET", "/v1/pauses"))


def pause(subject: PauseSubject) -> Exchange[PauseReport]:
    """Pause chunks."""
    return ask(PauseReport, send_document("POST", "/v1/pauses", subject))


def end_pause(pause_id: int) -> Exchange[PauseReport]:
    """End a pause."""
    return ask(PauseReport, Request("DELETE", f"/v1/pauses/{int(pause_id)}"))


def drain(worker: str | None, *, undo: bool = False) -> Exchange[Draining]:
    """Drain a worker, or all if it is None; with `undo`, let it claim chunks again."""
    path = "/v1/workers/drain" if worker is None else f"/v1/workers/{quote(worker, safe='@')}/drain"
    return ask(Draining, Request("DELETE" if undo else "POST", path))


def requeue(wanted: RequeueRequest) -> Exchange[Requeueing]:
    """Make chunks pending again."""
    return ask(Requeueing, send_document("POST", "/v1/requeue", wanted))


def change_priority(job_id: JobId, priority: Priority) -> Exchange[JobReport]:
    """Change the priority of a job."""
    change = PriorityChange(priority=priority)
    return ask(JobReport, send_document("PUT", f"{_path_of(job_id)}/priority", change))


def list_operations(limit: int) -> Exchange[OperationList]:
    """Ask for the newest operations."""
    return ask(OperationList, Request("GET", "/v1/operations", {"limit": limit}))


def send_document(method: str, path: str, document: "DataclassInstance") -> Request:
    """Return a request that sends a record as JSON."""
    content = json.dumps(to_json(document)).encode("ascii")
    return Request(method, path, headers={"Content-Type": JSON}, content=content)


def list_jobs(*, only_open: bool = False, limit: int | None = None) -> Flow[JobReport]:
    """Find all jobs, or those that have not ended; at most `limit`."""
    search = {"only_open": True} if only_open else {}
    return _turn_pages("/v1/jobs", search, JobPage, lambda page: page.jobs, limit)


def list_verdicts(job_id: JobId, search: VerdictSearch, limit: int | None = None) -> Flow[Verdict]:
    """Find verdicts of a job, at most `limit`."""
    return _turn_pages(f"{_path_of(job_id)}/verdicts", search, VerdictPage, lambda page: page.verdicts, limit)


def get_verdict(job_id: JobId, ordinal: int) -> Exchange[VerdictReport]:
    """Ask for one verdict."""
    return ask(VerdictReport, Request("GET", f"{_path_of(job_id)}/verdicts/{int(ordinal)}"))


def verify_job(job_id: JobId) -> Exchange[Verification]:
    """Ask whether a job's verdicts have changed since it ended."""
    return ask(Verification, Request("GET", f"{_path_of(job_id)}/verification"))


def find_verdicts(search: VerdictSearch, limit: int | None = None) -> Flow[Verdict]:
    """Find verdicts of all jobs, at most `limit`."""
    return _turn_pages("/v1/verdicts", search, VerdictPage, lambda page: page.verdicts, limit)


def find_verdicts_on(sha256: str) -> Flow[Verdict]:
    """Find verdicts on a file."""
    return _turn_pages(f"/v1/images/{quote(sha256, safe='')}", {}, VerdictPage, lambda page: page.verdicts)


def inspect_image(sha256: str) -> Exchange[ImageInspection]:
    """Ask for everything that is in a file."""
    return ask(ImageInspection, Request("GET", f"/v1/images/{quote(sha256, safe='')}/inspection"))


def follow_job(job_id: JobId) -> Flow[JobReport | Verdict]:
    """Find verdicts as they land and the job whenever it changed; after a break, resume after the last event."""
    backoff, last_event_id = Backoff(), ""
    url = f"{_path_of(job_id)}/events"
    while True:
        yield from send(OpenEvents(url, last_event_id), backoff)
        while isinstance(event := (yield ReadEvent()), ServerSentEvent):
            backoff.reset()
            last_event_id = event.id or last_event_id
            if event.event == "verdict":
                yield _read(Verdict, event.data, url)
            elif event.event in ("progress", "done"):
                yield _read(JobReport, event.data, url)
            if event.event == "done":
                return
        yield backoff.pause_after(event or httpx.RemoteProtocolError(f"{url} ended before the job"))


def watch_job(job_id: JobId) -> Flow[JobReport]:
    """Find the job whenever it changed, until it has ended."""
    # The whole record is not compared, since its remaining time changes with the clock.
    return watch(lambda: get_job(job_id), lambda job: (job.state, job.finished))


def watch(poll: Callable[[], Exchange[Ending]], progress_of: Callable[[Ending], object]) -> Flow[Ending]:
    """Find what `poll` returns whenever its progress has changed, until it has ended."""
    known, pause_s = None, FIRST_POLL_S
    while True:
        found = yield from poll()
        if (progress := progress_of(found)) != known:
            yield found
        if found.ended:
            return
        yield Pause(pause_s)
        known, pause_s = progress, min(1.5 * pause_s, LONGEST_POLL_S)


def ask(record: type[Record], request: Request) -> Exchange[Record]:
    """Ask for one record."""
    response = yield from send(request, Backoff())
    return _read(record, response.content, request.url)


def _turn_pages(
    url: str, search: Mapping[str, Any], kind: type[Page], items_of: Callable[[Page], list[T]], limit: int | None = None
) -> Flow[T]:
    left = sys.maxsize if limit is None else limit
    request = Request("GET", url, {**to_params(search), "limit": min(PAGE, left)})
    while left > 0:
        page = yield from ask(kind, request)
        items = items_of(page)[:left]
        yield from items
        left -= len(items)
        if page.next is None:
            return
        request = Request("GET", page.next)


def _read(record: type[Record], data: bytes | str, url: str) -> Record:
    try:
        return from_json(record, json.loads(data))
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableAnswerError(
            f"the answer of {url} is not a {record.__name__} ({type(error).__name__}: {error}): "
            "is this the address of a Starlight API, and does this client support its release?"
        ) from error


def _path_of(job_id: JobId) -> str:
    return f"/v1/jobs/{uuid.UUID(str(job_id))}"


def to_params(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are not None, with times in ISO 8601."""
    given = {name: value for name, value in values.items() if value is not None}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in given.items()}
