"""`/v1/rescans` and `/v1/comparison`: what another model judged, once more, and what two models say of a file."""

import uuid
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from producer.api.access import Reading, SubmittingImages, visible_submitter
from producer.api.filters import Filters, Model, Submitter, Time
from producer.api.problems import reject_field
from producer.api.routes.jobs import IdempotencyKey
from producer.api.service import Service, Shared
from starlight_vocabulary.comparison import Comparison
from starlight_vocabulary.job import SHORT_TEXT
from starlight_vocabulary.rescan import Rescan, RescanPage
from storage.comparisons import MOST_SAMPLED, compare_models
from storage.keys import ApiKey
from storage.models import ModelChoiceError, find_models
from storage.rescans import FIRST_ID, Rescanning
from storage.waiting import TooManyWaitingError, find_room

# Less than clients wait for an answer.
COMPARISON_S: Final = 30.0

router = APIRouter(prefix="/v1", tags=["models"])


class RescanRequest(Filters):
    """Which images to scan again with the model in use: those on which another one gave such a verdict."""

    model: Model
    job_id: uuid.UUID | None = None
    submitter: Submitter | None = Field(None, description="Of this submitter, for an admin.")
    name: Annotated[str, Field(**SHORT_TEXT)] | None = Field(None, description="Of the new jobs, instead of the old.")
    after: uuid.UUID | None = Field(None, description="To go on: the `next` of the answer before.")


class ComparisonQuery(BaseModel):
    """Which models to compare, on which files."""

    model_config = ConfigDict(extra="forbid")

    model: Model
    other_model: Model
    since: Time | None = Field(None, description="By verdicts from this time on, in UTC where it has no zone.")
    submitter: Submitter | None = Field(None, description="Of this submitter, for an admin.")
    sample: int = Field(20, ge=0, le=MOST_SAMPLED, description="Files to show on which they differ.")


@router.post("/rescans", status_code=202)
def rescan(
    wanted: RescanRequest,
    key: SubmittingImages,
    _reader: Reading,
    service: Shared,
    idempotency_key: IdempotencyKey = None,
) -> RescanPage:
    """Have images scanned again that another model judged: one's own, or everybody's for an admin.

    A job for each that has such verdicts, `bulk`, of the same submitter. What the same request submitted before, under
    the same `Idempotency-Key` or none, since a model was chosen, is not submitted anew. Looks into some jobs, and
    answers where to go on.
    """
    chosen = wanted.build_filter(job_id=wanted.job_id, submitter=visible_submitter(key) or wanted.submitter)
    rescanning = Rescanning(
        service.engine,
        require_models(service, "body.model", wanted.model),
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
    """Say on which files two models differ, by their newest verdicts on the same bytes: on one's own, or on all."""
    models = [require_models(service, f"query.{name}", getattr(query, name)) for name in ("model", "other_model")]
    with service.comparing.hold():
        return compare_models(
            service.engine,
            *models,
            submitter=visible_submitter(key) or query.submitter,
            since=query.since,
            sample=query.sample,
            within_s=COMPARISON_S,
        )


def require_models(service: Service, field: str, wanted: str) -> list[int]:
    """Return the ids of the model that is meant; raises a problem where there is none, or more than one."""
    try:
        return find_models(service.engine, wanted)
    except ModelChoiceError as error:
        raise reject_field(field, str(error)) from error


def has_room(service: Service, key: ApiKey) -> bool:
    """Whether more images of this key may wait."""
    try:
        find_room(service.engine, key.name, service.waiting_limits).check()
    except TooManyWaitingError:
        return False
    return True
