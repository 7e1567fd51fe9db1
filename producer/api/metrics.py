"""Metrics of the API process itself, which need no database."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage.traces import find_exemplar

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
# Label for paths without a route.
NO_ROUTE = "none"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Labels for the reasons of refusals, by status.
REASONS = {
    400: "malformed", 401: "key", 403: "right", 408: "slow", 413: "size", 415: "type", 421: "name", 422: "invalid",
    429: "limit", 503: "outage", 507: "disk",
}  # fmt: skip


def name_method(scope: Scope) -> str:
    """Return the method of a request, or "other": clients could send any word, and each would be a new label."""
    return scope["method"] if scope["method"] in METHODS else "other"


class ApiMetrics:
    """The metrics of one API process, in their own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "starlight_api_requests", "Answered requests, by the first digit of the status.",
            ["route", "method", "status"], registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "starlight_api_request_seconds", "Time from the head of a request to the head of its response.",
            ["route"], registry=self.registry, buckets=SECONDS,
        )  # fmt: skip
        self.in_flight = Gauge(
            "starlight_api_requests_in_flight", "Requests whose response is not complete.", registry=self.registry
        )
        self.refusals = Counter("starlight_api_refusals", "Refused requests.", ["reason"], registry=self.registry)
        for reason in REASONS.values():
            self.refusals.labels(reason)
        self._streams = Gauge("starlight_api_streams_open", "Open event streams.", registry=self.registry)

    def count_streams(self, count: Callable[[], float]) -> None:
        """Set the function that counts open streams at each scrape."""
        self._streams.set_function(count)

    def count_answer(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a response with its status and the seconds it took."""
        route = getattr(scope.get("route"), "path", NO_ROUTE)
        self.requests.labels(route, name_method(scope), f"{status // 100}xx").inc()
        self.seconds.labels(route).observe(seconds, find_exemplar())
        if status in REASONS:
            self.refusals.labels(REASONS[status]).inc()


class MetricsMiddleware:
    """ASGI middleware: measures every request, including those that are refused before they reach a route."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and measure its response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun_at = time.perf_counter()

        async def send_measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.count_answer(scope, message["status"], time.perf_counter() - begun_at)
            await send(message)

        with self._metrics.in_flight.track_inprogress():
            await self._app(scope, receive, send_measured)
