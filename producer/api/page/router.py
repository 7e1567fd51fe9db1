"""Registration of the page's routes and assets."""

from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from producer.api.page import (
    evidence,
    job_actions,
    jobs,
    judging,
    model,
    now,
    operations,
    pictures,
    signing_in,
    verdicts,
)
from producer.api.page.rendering import PREFIX


def add_page(app: FastAPI) -> None:
    """Add the page's routes and assets to the application."""
    app.mount(f"{PREFIX}/assets", StaticFiles(directory=Path(__file__).parent / "assets"))
    for routes in (signing_in, now, job_actions, jobs, verdicts, judging, pictures, evidence, model, operations):
        app.include_router(routes.router)
