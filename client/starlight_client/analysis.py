"""Requests for work with many verdicts: rescans, comparisons, and exports as files."""

import json
import uuid
from datetime import datetime
from typing import IO, Any, TypedDict
from urllib.parse import quote

import httpx

from starlight_client.exchanges import Backoff, Exchange, Fetch, Flow, Request, send
from starlight_client.flows import ImageSearch, VerdictSearch, ask, to_params, watch
from starlight_vocabulary.comparison import Comparison
from starlight_vocabulary.exports import MANIFEST, ExportList, ExportReport
from starlight_vocabulary.formats import JSON
from starlight_vocabulary.rescan import Rescan, RescanPage

ExportId = uuid.UUID | str


class RescanSearch(ImageSearch, total=False):
    """Which images to scan again: of one job, or, with an admin key, of one submitter; `name` is for the new jobs."""

    job_id: uuid.UUID | str | None
    submitter: str | None
    name: str | None


class ExportSearch(VerdictSearch, total=False):
    """Which verdicts to export; `partition_by` may be `day`, for one folder per day."""

    job_id: uuid.UUID | str | None
    partition_by: str | None


class ComparisonSearch(TypedDict, total=False):
    """Which files to compare models on: since a time, or, with an admin key, of one submitter; how many to return."""

    since: datetime | None
    submitter: str | None
    sample: int


def rescan(model: str, search: RescanSearch, *, again: bool) -> Flow[Rescan]:
    """Scan images again; find the result for each job, some jobs per request."""
    headers = {"Content-Type": JSON}
    if again:
        # New for each call, and the same when a request is retried.
        headers["Idempotency-Key"] = str(uuid.uuid4())
    wanted: dict[str, Any] = {"model": model, **search}
    while True:
        page = yield from ask(RescanPage, _post("/v1/rescans", wanted, headers))
        yield from page.rescans
        if page.next is None:
            return
        wanted["after"] = page.next


def compare(model: str, other_model: str, search: ComparisonSearch) -> Exchange[Comparison]:
    """Ask for the files on which two models differ."""
    params = to_params({"model": model, "other_model": other_model, **search})
    return ask(Comparison, Request("GET", "/v1/comparison", params))


def start_export(format: str, search: ExportSearch) -> Exchange[ExportReport]:  # noqa: A002 - the name in the API
    """Start an export of verdicts."""
    return ask(ExportReport, _post("/v1/exports", {"format": format, **search}, {"Content-Type": JSON}))


def list_exports() -> Exchange[ExportList]:
    """Ask for the newest exports."""
    return ask(ExportList, Request("GET", "/v1/exports"))


def get_export(export_id: ExportId) -> Exchange[ExportReport]:
    """Ask for an export."""
    return ask(ExportReport, Request("GET", _path_of(export_id)))


def watch_export(export_id: ExportId) -> Flow[ExportReport]:
    """Find the export whenever it has changed, until it has ended."""
    return watch(lambda: get_export(export_id), lambda export: (export.state, export.rows))


def delete_export(export_id: ExportId) -> Exchange[httpx.Response]:
    """Delete an export."""
    return send(Request("DELETE", _path_of(export_id)), Backoff())


def fetch_manifest(export_id: ExportId) -> Exchange[bytes]:
    """Ask for the manifest of a finished export."""
    response = yield from send(Request("GET", f"{_path_of(export_id)}/files/{MANIFEST}"), Backoff())
    return response.content


def fetch_file(export_id: ExportId, path: str, file: IO[bytes]) -> Exchange[httpx.Response]:
    """Download a file of an export into an open file."""
    return send(Fetch(f"{_path_of(export_id)}/files/{quote(path)}", file), Backoff())


def _post(path: str, wanted: dict[str, Any], headers: dict[str, str]) -> Request:
    given = to_params(wanted)
    document = {name: str(value) if isinstance(value, uuid.UUID) else value for name, value in given.items()}
    return Request("POST", path, headers=headers, content=json.dumps(document).encode("ascii"))


def _path_of(export_id: ExportId) -> str:
    return f"/v1/exports/{uuid.UUID(str(export_id))}"
