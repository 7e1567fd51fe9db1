"""The requests of the API and what their answers mean, without sending any."""

import json
import os
import random
import tarfile
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any, Generic, TypedDict, TypeVar

import httpx

from producer.sources.folders import files_below
from starlight_vocabulary.answers import Cancellation as Cancelled
from starlight_vocabulary.answers import JobPage as Jobs
from starlight_vocabulary.answers import JobReport as Job
from starlight_vocabulary.answers import Statistics, VerdictPage
from starlight_vocabulary.formats import ExportFormat
from starlight_vocabulary.records import from_json
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import Method, Outcome, Priority

T = TypeVar("T")
Answer = TypeVar("Answer", Job, Jobs, Cancelled, VerdictPage, Statistics)
JobId = uuid.UUID | str

TRIES = 6
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
# What may not happen to the same request again.
LOST = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError)
# What says that the same request may be taken later.
PASSING = {408, 429, 502, 503}
# Longer than the API waits between two events.
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
PAGE = 1000
LONGEST_LOOK_S = 2.0


class RefusedError(Exception):
    """A request that the API refused; `problem` is the problem document, `status` its HTTP status."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}".rstrip(": "))
        self.status = status
        self.problem = problem


class Options(TypedDict, total=False):
    """What a job may be given beside its images."""

    name: str | None
    priority: Priority
    threshold: float | None
    webhook: str | None


class Filters(TypedDict, total=False):
    """Which verdicts to find; times without a zone are in UTC, `until` is exclusive."""

    outcome: Outcome | None
    method: Method | None
    since: datetime | None
    until: datetime | None
    sha256: str | None
    error_code: Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, which may be sent again, and how its answer is read."""

    method: str
    url: str
    read: Callable[[httpx.Response], T]
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | IO[bytes] | None = None


def checked(response: httpx.Response) -> httpx.Response:
    """Return the response, which was read; raises RefusedError unless it is a success."""
    if response.is_success:
        return response
    try:
        problem = response.json()
    except ValueError:
        problem = {"detail": response.text[:1000]}
    raise RefusedError(response.status_code, problem if isinstance(problem, dict) else {"detail": str(problem)})


def pause_after(response: httpx.Response, tried: int) -> float | None:
    """Return how many seconds to wait before the next try, None where this answer is the last."""
    if response.status_code not in PASSING or tried >= TRIES:
        return None
    told = str(response.headers.get("retry-after", ""))
    return min(float(told), LONGEST_PAUSE_S) if told.isdecimal() else pause(tried)


def pause(tried: int) -> float:
    """Return a pause in seconds that doubles with each try, spread so that clients do not come back together."""
    return min(FIRST_PAUSE_S * 2.0 ** (tried - 1), LONGEST_PAUSE_S) * random.uniform(0.5, 1)  # noqa: S311 - no secret


def looks() -> Iterator[float]:
    """Yield pauses in seconds between two looks at a job, for ever: short at first, for jobs that end at once."""
    pause_s = 0.05
    while True:
        yield pause_s
        pause_s = min(1.5 * pause_s, LONGEST_LOOK_S)


def submitting(references: Iterable[str], key: str | None, options: Options) -> Call[Job]:
    """Submit a job of references."""
    lines = "".join(json.dumps(reference) + "\n" for reference in references)
    return _submitting(lines.encode("ascii"), ExportFormat.NDJSON.media_type, key, options)


def uploading(archive: IO[bytes], key: str | None, options: Options) -> Call[Job]:
    """Submit a job of the files in a `.tar` archive."""
    return _submitting(archive, "application/x-tar", key, options)


def _submitting(content: bytes | IO[bytes], kind: str, key: str | None, options: Options) -> Call[Job]:
    # With a key, a request whose answer was lost may be sent again.
    headers = {"Content-Type": kind, "Idempotency-Key": key or str(uuid.uuid4())}
    return Call("POST", "/v1/jobs", _as(Job), _given(options), headers, content)


def showing(job_id: JobId) -> Call[Job]:
    """Ask for a job."""
    return Call("GET", f"/v1/jobs/{uuid.UUID(str(job_id))}", _as(Job))


def cancelling(job_id: JobId) -> Call[Cancelled]:
    """Cancel a job."""
    return Call("DELETE", f"/v1/jobs/{uuid.UUID(str(job_id))}", _as(Cancelled))


def page_of_jobs(url: str | None) -> Call[Jobs]:
    """Ask for the newest jobs, or the page at this address."""
    return Call("GET", url or f"/v1/jobs?limit={PAGE}", _as(Jobs))


def page_of_verdicts(job_id: JobId, filters: Filters) -> Call[VerdictPage]:
    """Ask for the first page of a job's verdicts."""
    return Call("GET", f"/v1/jobs/{uuid.UUID(str(job_id))}/verdicts", _as(VerdictPage), _page(filters))


def page_of_found(filters: Filters) -> Call[VerdictPage]:
    """Ask for the first page of verdicts of any job."""
    return Call("GET", "/v1/verdicts", _as(VerdictPage), _page(filters))


def page_on_image(sha256: str) -> Call[VerdictPage]:
    """Ask for the first page of verdicts on a file."""
    return Call("GET", f"/v1/images/{bytes.fromhex(sha256).hex()}", _as(VerdictPage), _page({}))


def page_after(page: VerdictPage) -> Call[VerdictPage] | None:
    """Ask for the page that follows, None behind the last."""
    return Call("GET", page.next, _as(VerdictPage)) if page.next else None


def figures() -> Call[Statistics]:
    """Ask for figures about the whole installation."""
    return Call("GET", "/v1/stats", _as(Statistics))


def happened(event: str, data: str) -> Job | Verdict | None:
    """Return what a server-sent event tells, None where it is of another kind."""
    if event == "verdict":
        return from_json(Verdict, json.loads(data))
    if event in ("progress", "done"):
        return from_json(Job, json.loads(data))
    return None


def archived(paths: Iterable[str | os.PathLike[str]]) -> IO[bytes]:
    """Return a `.tar` archive, a file without a name, of files and of all that is below folders; raises OSError."""
    stream = tempfile.TemporaryFile()  # noqa: SIM115 - whoever gets it closes it
    try:
        with tarfile.open(fileobj=stream, mode="w", dereference=True) as archive:
            for path in _files(paths):
                archive.add(path, recursive=False)
        stream.seek(0)
    except BaseException:
        stream.close()
        raise
    return stream


def _files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 - str is what archives take
            yield from map(os.fsdecode, files_below(os.fsencode(path)))
        else:
            yield os.fspath(path)


def _as(model: type[Answer]) -> Callable[[httpx.Response], Answer]:
    return lambda response: from_json(model, response.json())


def _page(filters: Filters) -> dict[str, Any]:
    return {"limit": PAGE, **_given(filters)}


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in values.items() if value is not None}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in given.items()}
