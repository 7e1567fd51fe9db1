"""`/v1/exports`: files of verdicts, made in the background."""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from producer.api.access import Reading, visible_submitter
from producer.api.filters import Filters, Model
from producer.api.named_jobs import require_named_job
from producer.api.named_models import require_known
from producer.api.problems import ProblemError
from producer.api.service import Service, Shared
from producer.export_jobs import open_files, read_manifest
from producer.export_manifest import Manifest
from starlight_vocabulary.exports import MANIFEST, ExportList, ExportReport, ExportState
from starlight_vocabulary.formats import JSON, ExportFormat
from starlight_vocabulary.records import to_json
from starlight_vocabulary.words import Scope
from storage.blobs import open_object
from storage.export_jobs import (
    ExportJob,
    TooManyExportsError,
    create_export,
    delete_export,
    get_export,
    list_exports,
)

router = APIRouter(prefix="/v1/exports", tags=["exports"])


class ExportRequest(Filters):
    """The verdicts to export, and how; `until` is now by default."""

    format: ExportFormat = ExportFormat.PARQUET
    partition_by: Literal["day"] | None = Field(None, description="One folder per day (UTC), `day=2026-06-01`.")
    job_id: uuid.UUID | None = None
    model: Model | None = None

    def describe(self) -> dict[str, object]:
        """Return the options that are set."""
        wanted = self.build_filter(job_id=self.job_id, model=self.model)
        asked = {"format": self.format.value, "partition_by": self.partition_by, **to_json(wanted)}
        return {name: value for name, value in asked.items() if value is not None}


@router.post("", status_code=202)
def export(wanted: ExportRequest, key: Reading, service: Shared, response: Response) -> ExportReport:
    """Export verdicts to files in the background: the key's own, or all for an admin."""
    require_known(service.engine, "body.model", wanted.model)
    require_named_job(service, key, "body.job_id", wanted.job_id)
    try:
        made = create_export(
            service.engine,
            key.name,
            visible_submitter(key),
            wanted.describe(),
            limit=service.settings.max_exports_per_key,
        )
    except TooManyExportsError as error:
        # None expires before the first one that ended, or before one ends.
        ended_at = error.ended_at or datetime.now(UTC)
        seconds = (ended_at + service.settings.export_retention - datetime.now(UTC)).total_seconds()
        raise ProblemError(429, str(error), headers={"Retry-After": f"{max(seconds, 1):.0f}"}) from error
    response.headers["Location"] = f"/v1/exports/{made.id}"
    return report_export(service, made)


@router.get("")
def show_exports(key: Reading, service: Shared) -> ExportList:
    """List the newest exports: the key's own, or all for an admin."""
    found = list_exports(service.engine, key.name, everybody=key.allows(Scope.ADMIN))
    return ExportList(exports=[report_export(service, each) for each in found])


def _require_export(export_id: uuid.UUID, key: Reading, service: Shared) -> ExportJob:
    found = get_export(service.engine, export_id, key.name, everybody=key.allows(Scope.ADMIN))
    if found is None:
        raise ProblemError(404, f"there is no export {export_id}")
    return found


VisibleExport = Annotated[ExportJob, Depends(_require_export)]


@router.get("/{export_id}")
def show_export(export: VisibleExport, service: Shared) -> ExportReport:
    """Return the state of an export, and its files."""
    return report_export(service, export, read_manifest(service.settings, export.id))


@router.get("/{export_id}/files/{path:path}", response_class=StreamingResponse)
def fetch_file(export: VisibleExport, path: str, service: Shared) -> StreamingResponse:
    """Return a file of an export, or its `_manifest.json`."""
    manifest = read_manifest(service.settings, export.id)
    files = {each.path: each for each in manifest.files} if manifest else {}
    if export.state is not ExportState.DONE or path not in {MANIFEST, *files}:
        raise ProblemError(404, f"export {export.id} has no file {path!r}, or is not complete")
    try:
        found = open_object(open_files(service.settings, export.id), path)
    except FileNotFoundError:
        raise ProblemError(404, f"the files of export {export.id} were deleted") from None
    kind = JSON if path == MANIFEST else ExportFormat.read(str(export.request["format"])).media_type
    name = path.rpartition("/")[2]
    headers = {"Content-Length": str(found.size), "Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(found.pieces, media_type=kind, headers=headers)


@router.delete("/{export_id}", status_code=204)
def end_export(export: VisibleExport, service: Shared) -> None:
    """Delete an export and its files; an export in progress is stopped."""
    delete_export(service.engine, export.id)


def report_export(service: Service, export: ExportJob, manifest: Manifest | None = None) -> ExportReport:
    """Return the report about an export, with its files if their manifest is given."""
    ended = export.finished_at
    return ExportReport(
        id=export.id,
        state=export.state,
        request=export.request,
        rows=export.rows,
        size_bytes=export.size_bytes,
        error=export.error,
        created_at=export.created_at,
        finished_at=ended,
        expires_at=ended and ended + service.settings.export_retention,
        until=manifest.until if manifest else None,
        files=manifest.files if manifest else None,
    )
