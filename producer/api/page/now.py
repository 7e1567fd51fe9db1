"""The start page: throughput and its target, waiting images, workers, and open jobs; updated by events."""

from collections.abc import AsyncIterator
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from producer.api.access import Reading, visible_submitter
from producer.api.job_events import SharedJobEvents
from producer.api.page.board import RATES, Board, SharedBoard
from producer.api.page.rendering import HEADERS, PREFIX, TEMPLATES, render
from producer.api.reports import report_job
from producer.api.server_sent_events import format_event
from producer.api.service import Service, Shared
from storage.jobs import list_jobs
from storage.keys import ApiKey

INTERVAL_S: Final = 2.0
# After so many the stream ends; the browser reconnects, and its session is checked again.
EVENTS_OF_A_STREAM: Final = 60
OPEN_JOBS: Final = 20

router = APIRouter(include_in_schema=False)


@router.get("/")
def show_now(request: Request, key: Reading, service: Shared, board: SharedBoard) -> Response:
    """Show the start page."""
    return render(request, "now.html", **read_values(service, board, key))


@router.get(f"{PREFIX}/events")
async def follow(key: Reading, service: Shared, board: SharedBoard, job_events: SharedJobEvents) -> Response:
    """Send updates of the start page, as events with the HTML that changes."""
    template = TEMPLATES.get_template("now_live.html")

    def write() -> bytes:
        html = template.render(key=key, **read_values(service, board, key))
        return format_event("html", html)

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(EVENTS_OF_A_STREAM):
            yield await run_in_threadpool(write)
            if await job_events.wait_until_closed(INTERVAL_S):
                return

    # Turns off buffering in proxies.
    return StreamingResponse(stream(), media_type="text/event-stream", headers={**HEADERS, "X-Accel-Buffering": "no"})


def read_values(service: Service, board: Board, key: ApiKey) -> dict[str, Any]:
    """Return the values for the templates: the installation's figures, and the open jobs that the key may see."""
    found = list_jobs(service.engine, limit=OPEN_JOBS, submitter=visible_submitter(key), only_open=True)
    jobs = [report_job(job) for job in found]
    return {"state": board.read(), "jobs": jobs, "width": RATES}
