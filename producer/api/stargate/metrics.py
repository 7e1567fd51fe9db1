"""`/metrics`: metrics of this API process, for admins or, if so configured, without a key."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from producer.api.problems import ProblemError
from starlight_vocabulary.words import Scope
from storage.keys import ApiKey

router = APIRouter()


@router.get("/metrics", response_class=Response, responses={200: {"content": {CONTENT_TYPE_LATEST: {}}}})
def report_metrics(request: Request) -> Response:
    """Return the metrics of this API process in Prometheus' text format; the exporter has all others."""
    key: ApiKey | None = request.state.key
    # Without a key, `Entrance` has checked that the settings allow it.
    if key is not None and not key.allows(Scope.ADMIN):
        raise ProblemError(403, f"the key {key.prefix} lacks the scope {Scope.ADMIN.value!r}")
    return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)
