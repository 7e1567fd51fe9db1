"""Middleware for all requests: a request id, security headers, and a response to unexpected errors."""

import logging
import secrets
from collections.abc import MutableMapping
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from producer.api.problems import answer_problem
from producer.api.refusals import log_refusal

# Part of every policy: `default-src` does not cover `base-uri`, `form-action` and `frame-ancestors`.
CLOSED = "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
HEADERS = {
    b"cache-control": b"no-store",
    b"content-security-policy": f"default-src 'none'; {CLOSED}; sandbox".encode(),
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}

log = logging.getLogger(__name__)


class SecurityHeaders:
    """ASGI middleware: gives each request an id, and each response the headers that it does not set itself.

    Unhandled exceptions are answered here, since a response from an outer layer would lack the headers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add the headers to its response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state["request_id"] = request_id

        with bound_contextvars(request=request_id):
            await self._answer(request_id, scope, receive, send)

    async def _answer(self, request_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                log_refusal(scope, message["status"])
                present = {name for name, _ in message["headers"]}
                added = [(name, value) for name, value in HEADERS.items() if name not in present]
                message["headers"] = [*message["headers"], *added, (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            log.exception("a request failed")
            if started:
                raise
            failed = answer_problem(Request(scope), 500, "internal error: the log has details under the request's id")
            await failed(scope, receive, send_with_headers)
