"""`/metrics`: what this process of the API measures, for admins, or for everybody where that is set."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from producer.api.problems import ProblemError
from starlight_vocabulary.words import Scope
from storage.keys import ApiKey

router = APIRouter()


@router.get("/metrics", response_class=Response, responses={200: {"content": {CONTENT_TYPE_LATEST: {}}}})
def report_metrics(request: Request) -> Response:
    """Show what this process measures of its own work, in Prometheus' text format; the exporter has all else."""
    key: ApiKey | None = request.state.key
    # Without one, the entrance has let everybody in.
    if key is not None and not key.allows(Scope.ADMIN):
        raise ProblemError(403, f"the key {key.prefix} lacks the scope {Scope.ADMIN.value!r}")
    return Response(generate_latest(request.app.state.measures.registry), media_type=CONTENT_TYPE_LATEST)
