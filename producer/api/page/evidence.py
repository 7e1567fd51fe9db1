"""The evidence in a verdict's file: bit planes, the bytes of the carrier, and the findings of an inspection."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from producer.api.page.pictures import read_image
from producer.api.page.rendering import PREFIX, render
from producer.api.problems import ProblemError
from producer.api.reading import ImageReading
from producer.api.routes.verdicts import VisibleVerdict
from producer.api.service import Service, Shared
from starlight_vocabulary.inspection import Finding, Inspection, Place
from starlight_vocabulary.verdict import Verdict
from worker.image_reading import ImageReader, UnseenImageError

router = APIRouter(prefix=PREFIX, include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Band:
    """A channel of an image: the names of its bit planes, lowest first, and whether the payload is in the lowest."""

    name: str
    planes: Sequence[str]
    is_marked: bool


@dataclass(frozen=True, slots=True)
class FileView:
    """The evidence in a file, as it is shown; `payload_bytes` is None if the payload's end is unknown."""

    inspection: Inspection
    bands: Sequence[Band]
    carrier: bytes
    carrier_bytes: int
    payload_bytes: int | None
    trailing: bytes
    trailing_bytes: int

    def list_findings(self, *places: Place) -> list[Finding]:
        """Return the findings in these places."""
        return [found for found in self.inspection.findings if found.place in places]


@router.get("/jobs/{job_id}/verdicts/{ordinal}/inspection")
async def show_evidence(
    request: Request, verdict: VisibleVerdict, service: Shared, reading: ImageReading, part: bool = False
) -> Response:
    """Show everything in a verdict's image, also where V4 does not look; `part` returns only the part of a page."""
    async with service.reading_turns:
        view = await run_in_threadpool(collect_evidence, service, reading, verdict)
    template = "evidence_part.html" if part else "evidence.html"
    return render(request, template, verdict=verdict, view=view, Place=Place)


def collect_evidence(service: Service, reading: ImageReader, verdict: Verdict) -> FileView:
    """Return the evidence in a verdict's file; raises a problem if it is not stored, or cannot be decoded."""
    data = read_image(service, verdict)
    try:
        inspection = reading.inspect(data)
        evidence = reading.collect_evidence(data, verdict.stego_type, verdict.bit_order)
    except UnseenImageError as error:
        raise ProblemError(422, f"the image cannot be inspected: {error}") from None
    return FileView(
        inspection,
        group_planes(evidence.planes, evidence.marked),
        bytes.fromhex(evidence.carrier),
        evidence.carrier_bytes,
        evidence.payload_bytes,
        bytes.fromhex(evidence.trailing),
        evidence.trailing_bytes,
    )


def group_planes(planes: Sequence[str], marked: Sequence[str]) -> list[Band]:
    """Group bit planes by channel; those with the payload come first."""
    bands = [(name, list(named)) for name, named in groupby(planes, lambda plane: plane.partition("-")[0])]
    found = [Band(name, named, named[0] in marked) for name, named in bands]
    return sorted(found, key=lambda band: not band.is_marked)
