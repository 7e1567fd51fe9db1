"""`/health` and `/info`: whether images can be scanned now, and what the service supports."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from producer.api.problems import RETRY_AFTER_S, ProblemError
from producer.api.service import Shared
from starlight_vocabulary.formats import ImageFormat
from starlight_vocabulary.words import METHODS
from storage.version import VERSION
from storage.workers import list_live_workers

router = APIRouter()

ENDPOINTS = {
    "scan_image": "/scan/image",
    "scan_batch": "/scan/batch",
    "block_scan": "/scan/block",
    "extract": "/extract",
    "inscribe": "/inscribe",
    "jobs": "/v1/jobs",
    "documentation": "/docs",
}


class Scanner(BaseModel):
    """The model and devices of the live workers."""

    model_loaded: bool = Field(description="Whether there is a live worker.")
    model_version: str = Field(examples=["starlight-v4-1.2.0"])
    model_path: str = Field(description="The SHA-256 of its weights.", examples=["sha256:d09d…"])
    device: str = Field(examples=["cpu0, cpu1"])


class Health(BaseModel):
    """Whether images can be scanned now."""

    status: str = Field(examples=["healthy"])
    version: str
    timestamp: datetime
    scanner: Scanner


class Info(BaseModel):
    """What this service supports."""

    name: str
    version: str
    description: str
    supported_formats: list[str]
    stego_methods: list[str]
    max_image_size: int = Field(description="In bytes.")
    endpoints: dict[str, str]


@router.get("/health")
def report_health(
    service: Shared,
    ready: Annotated[bool, Query(description="Answer 503 if there is no live worker.")] = False,
) -> Health:
    """Return whether there are live workers, and their model; needs no key."""
    workers = list_live_workers(service.engine, service.settings.lease_s)
    if ready and not workers:
        raise ProblemError(503, "no worker lives", headers={"Retry-After": str(RETRY_AFTER_S)})
    scanner = Scanner(
        model_loaded=bool(workers),
        model_version=", ".join(sorted({worker.model for worker in workers})),
        model_path=", ".join(sorted({f"sha256:{worker.model_sha256}" for worker in workers})),
        device=", ".join(worker.device for worker in workers),
    )
    return Health(
        status="healthy" if workers else "no worker lives",
        version=VERSION,
        timestamp=datetime.now(UTC),
        scanner=scanner,
    )


@router.get("/info")
def report_info(service: Shared) -> Info:
    """Return the supported formats and methods; needs no key."""
    return Info(
        name="Starlight batch scanner",
        version=VERSION,
        description="Finds hidden messages in images, in bulk.",
        supported_formats=[each.lower() for each in ImageFormat],
        stego_methods=list(METHODS),
        max_image_size=service.settings.max_image_bytes,
        endpoints=ENDPOINTS,
    )
