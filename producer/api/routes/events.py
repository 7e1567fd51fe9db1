"""The events of a job, as server-sent events."""

from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse

from producer.api.access import VisibleJob
from producer.api.job_events import DONE, SharedJobEvents
from storage.verdicts import FIRST, Place

router = APIRouter(prefix="/v1", tags=["jobs"])

EXAMPLE = """\
event: verdict
data: {"job_id": "019a1b2c-3d4e-7f60-8a9b-0c1d2e3f4a5b", "ordinal": 7, "outcome": "clean", …}
id: 256-7

event: progress
data: {"id": "019a1b2c-3d4e-7f60-8a9b-0c1d2e3f4a5b", "state": "running", "total": 1000, "finished": 512, …}

"""


@router.get(
    "/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {"description": "Events until the job has ended.", "content": {"text/event-stream": {"example": EXAMPLE}}},
        204: {"description": "The last event was `done`: there are no more, do not reconnect."},
    },
)
async def follow_job(
    job: VisibleJob,
    job_events: SharedJobEvents,
    last_event_id: Annotated[
        str | None,
        Header(pattern=f"^([0-9]{{1,10}}-[0-9]{{1,10}}|{DONE})?$", description="Continue after this event."),
    ] = None,
) -> Response:
    """Follow a job: `verdict` for each image as it is stored, `progress` when it changes, `done` at the end.

    Each verdict is sent once. After an interruption, continue with `Last-Event-ID`.
    """
    if last_event_id == DONE:
        return Response(status_code=204)
    after = Place(*map(int, last_event_id.split("-"))) if last_event_id else FIRST
    # Turns off buffering in proxies.
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(job_events.stream(job.id, after), media_type="text/event-stream", headers=headers)
