"""`/v1/rescans` and `/v1/comparison`: scanning images of another model again, and comparing two models."""

import uuid
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from producer.api.access import Reading, SubmittingImages
from producer.api.filters import Filters, Model, Submitter, Time
from producer.api.named_jobs import require_named_job
from producer.api.named_models import require_models
from producer.api.named_submitters import choose_submitter
from producer.api.routes.jobs import IdempotencyKey
from producer.api.service import Service, Shared
from starlight_vocabulary.comparison import Comparison
from starlight_vocabulary.job import SHORT_TEXT
from starlight_vocabulary.rescan import Rescan, RescanPage
from storage.comparisons import MOST_SAMPLED, compare_models
from storage.keys import ApiKey
from storage.rescans import FIRST_ID, Rescanning
from storage.waiting import TooManyWaitingError, find_room

# Less than the timeout of our client.
COMPARISON_S: Final = 30.0

router = APIRouter(prefix="/v1", tags=["models"])


class RescanRequest(Filters):
    """Images to scan again with the model in use: those with matching verdicts of another model."""

    model: Model
    job_id: uuid.UUID | None = None
    submitter: Submitter | None = Field(None, description="Only of this submitter; for admins.")
    name: Annotated[str, Field(**SHORT_TEXT)] | None = Field(None, description="New name for the jobs.")
    after: uuid.UUID | None = Field(None, description="To continue: `next` of the previous response.")


class ComparisonQuery(BaseModel):
    """The models to compare, and on which files."""

    model_config = ConfigDict(extra="forbid")

    model: Model
    other_model: Model
    since: Time | None = Field(None, description="Only verdicts from this time on; UTC if it has no time zone.")
    submitter: Submitter | None = Field(None, description="Only of this submitter; for admins.")
    sample: int = Field(20, ge=0, le=MOST_SAMPLED, description="How many differing files to show.")


@router.post("/rescans", status_code=202)
def rescan(
    wanted: RescanRequest,
    key: SubmittingImages,
    _reader: Reading,
    service: Shared,
    idempotency_key: IdempotencyKey = None,
) -> RescanPage:
    """Scan images again that another model scored: the key's own, or all for an admin.

    Each job with such verdicts gets a new `bulk` job of the same submitter. Repeating the request, with the same
    `Idempotency-Key` or without one, submits nothing twice until another model is chosen. Each request covers some of
    the jobs; `next` is where to continue.
    """
    require_named_job(service, key, "body.job_id", wanted.job_id)
    chosen = wanted.build_filter(
        job_id=wanted.job_id, submitter=choose_submitter(service.engine, key, "body.submitter", wanted.submitter)
    )
    rescanning = Rescanning(
        service.engine,
        require_models(service.engine, "body.model", wanted.model),
        chosen,
        idempotency_key=idempotency_key,
        name=wanted.name,
        chunk_size=service.settings.chunk_size,
    )
    page = rescanning.list_jobs(wanted.after or FIRST_ID)
    rescans: list[Rescan] = []
    for job_id in page.job_ids:
        if rescans and not has_room(service, key):
            return RescanPage(rescans=rescans, next=rescans[-1].rescan_of)
        rescans.append(rescanning.submit(job_id))
    return RescanPage(rescans=rescans, next=page.last)


@router.get("/comparison")
def compare(query: Annotated[ComparisonQuery, Query()], key: Reading, service: Shared) -> Comparison:
    """Compare the newest verdicts of two models on the same files: the key's own, or all for an admin."""
    models = [
        require_models(service.engine, "query.model", query.model),
        require_models(service.engine, "query.other_model", query.other_model),
    ]
    with service.comparing.hold():
        return compare_models(
            service.engine,
            *models,
            submitter=choose_submitter(service.engine, key, "query.submitter", query.submitter),
            since=query.since,
            sample=query.sample,
            within_s=COMPARISON_S,
        )


def has_room(service: Service, key: ApiKey) -> bool:
    """Whether this key is below its limits of waiting images."""
    try:
        find_room(service.engine, key.name, service.waiting_limits).check()
    except TooManyWaitingError:
        return False
    return True
