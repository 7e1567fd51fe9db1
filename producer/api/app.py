"""The ASGI application: routes, middleware, shared state, and the general part of the OpenAPI document."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

from fastapi import FastAPI

from producer.api import stargate
from producer.api.documentation import add_documentation
from producer.api.entrance import Entrance
from producer.api.job_events import JobEvents
from producer.api.lone_images import LoneImages
from producer.api.metrics import ApiMetrics, MetricsMiddleware
from producer.api.page.board import Board
from producer.api.page.model import Samples
from producer.api.page.router import add_page
from producer.api.problems import add_problem_handlers, document_problems
from producer.api.routes import events, exports, inspections, jobs, operations, rescans, statistics, verdicts
from producer.api.security import SecurityHeaders
from producer.api.service import MAKERS, READERS, Service
from producer.api.tracing import Tracing
from storage.version import VERSION
from worker.image_reading import ImageReader

DESCRIPTION = """Finds hidden messages in images, in bulk. Submit jobs, follow them, fetch verdicts.

Every request except `/health` and `/info` needs an API key as a bearer token, made by `starlight keys create`. Errors
are problem documents (RFC 9457); their `request_id` is in the log."""
STATUSES = (400, 401, 403, 404, 406, 408, 409, 413, 415, 421, 422, 429, 500, 503)


def create_app(service: Service, metrics: ApiMetrics | None = None) -> FastAPI:
    """Return the application for this service, with metrics."""
    metrics = metrics or ApiMetrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with JobEvents(service.engine, service.known_keys) as app.state.job_events:
            metrics.count_streams(app.state.job_events.count_followers)
            with (
                closing(ImageReader(service.settings, READERS)) as app.state.reading,
                closing(ImageReader(service.settings, MAKERS)) as app.state.pictures,
            ):
                yield

    app = FastAPI(
        title="Starlight batch scanner",
        version=VERSION,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        # Behind a TLS proxy, the redirect would lead to plain HTTP, and clients would send their key there.
        redirect_slashes=False,
        responses=document_problems(*STATUSES),
        lifespan=lifespan,
    )
    app.state.service = service
    app.state.lone_images = LoneImages(service)
    app.state.metrics = metrics
    app.state.board = Board(service)
    app.state.samples = Samples(service)
    for routes in (jobs, verdicts, exports, rescans, inspections, events, statistics, operations, stargate):
        app.include_router(routes.router)
    add_documentation(app)
    add_page(app)
    add_problem_handlers(app)
    app.add_middleware(Tracing)
    app.add_middleware(Entrance, service=service)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(MetricsMiddleware, metrics=metrics)
    return app
