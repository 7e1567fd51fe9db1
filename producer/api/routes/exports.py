"""`/v1/exports`: files of verdicts, made aside, and fetched when they are there."""

import uuid
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from producer.api.access import Reading, visible_submitter
from producer.api.problems import ProblemError
from producer.api.routes.verdicts import Part, Sha256, Time, Words
from producer.api.service import Service, Shared
from producer.export_jobs import open_files, read_manifest
from producer.export_manifest import MANIFEST, Manifest
from starlight_vocabulary.exports import ExportedPart, ExportList, ExportReport, ExportState
from starlight_vocabulary.formats import JSON, ExportFormat
from starlight_vocabulary.records import to_json
from starlight_vocabulary.words import ErrorCode, Method, Outcome, Scope
from storage.blobs import open_object
from storage.export_jobs import (
    ExportJob,
    TooManyExportsError,
    create_export,
    delete_export,
    get_export,
    list_exports,
)
from storage.verdicts import VerdictFilter

router = APIRouter(prefix="/v1/exports", tags=["exports"])


class ExportRequest(BaseModel):
    """Which verdicts to export, and how."""

    model_config = ConfigDict(extra="forbid")

    format: ExportFormat = ExportFormat.PARQUET
    partition_by: Literal["day"] | None = Field(None, description="A folder for each day of UTC, `day=2026-06-01`.")
    outcome: Outcome | None = None
    method: Method | None = None
    since: Time | None = Field(None, description="From this time on, in UTC where it has no zone.")
    until: Time | None = Field(None, description="Before this time; without it, before now.")
    job_id: uuid.UUID | None = None
    sha256: Sha256 | None = None
    words: Words | None = None
    part: Part | None = None
    error_code: list[ErrorCode] = Field([], max_length=len(ErrorCode))

    def describe(self) -> dict[str, object]:
        """Return what is asked for, without what is not."""
        wanted = VerdictFilter(
            job_id=self.job_id,
            outcome=self.outcome,
            method=self.method,
            since=self.since,
            until=self.until,
            sha256=self.sha256,
            error_codes=self.error_code or None,
            words=self.words,
            part=self.part,
        )
        asked = {"format": self.format.value, "partition_by": self.partition_by, **to_json(wanted)}
        return {name: value for name, value in asked.items() if value is not None}


@router.post("", status_code=202)
def export(wanted: ExportRequest, key: Reading, service: Shared, response: Response) -> ExportReport:
    """Have verdicts exported as files: one's own, or everybody's for an admin. Answers before anything is made."""
    try:
        made = create_export(
            service.engine,
            key.name,
            visible_submitter(key),
            wanted.describe(),
            limit=service.settings.max_exports_per_key,
        )
    except TooManyExportsError as error:
        raise ProblemError(429, str(error), headers={"Retry-After": "60"}) from error
    response.headers["Location"] = f"/v1/exports/{made.id}"
    return report_export(service, made)


@router.get("")
def show_exports(key: Reading, service: Shared) -> ExportList:
    """List the newest exports: one's own, or all for an admin."""
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
    """Say how far an export is, and which files it has."""
    return report_export(service, export, read_manifest(service.settings, export.id))


@router.get("/{export_id}/files/{path:path}", response_class=StreamingResponse)
def fetch_file(export: VisibleExport, path: str, service: Shared) -> StreamingResponse:
    """Hand out a file of an export, or its `_manifest.json`."""
    manifest = read_manifest(service.settings, export.id)
    files = {each.path: each for each in manifest.files} if manifest else {}
    if export.state is not ExportState.DONE or path not in {MANIFEST, *files}:
        raise ProblemError(404, f"export {export.id} has no file {path!r}, or is not done")
    try:
        found = open_object(open_files(service.settings, export.id), path)
    except FileNotFoundError:
        raise ProblemError(404, f"the files of export {export.id} are gone") from None
    kind = JSON if path == MANIFEST else ExportFormat.read(str(export.request["format"])).media_type
    name = path.rpartition("/")[2]
    headers = {"Content-Length": str(found.size), "Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(found.pieces, media_type=kind, headers=headers)


@router.delete("/{export_id}", status_code=204)
def end_export(export: VisibleExport, service: Shared) -> None:
    """Delete an export and its files; one that is being made ends."""
    delete_export(service.engine, export.id)


def report_export(service: Service, export: ExportJob, manifest: Manifest | None = None) -> ExportReport:
    """Return what is said of an export, with its files where their manifest is given."""
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
        files=[ExportedPart(**asdict(each)) for each in manifest.files] if manifest else None,
    )
