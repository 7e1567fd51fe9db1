"""A trace span for each API request with a key; it continues the caller's trace."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from producer.api.metrics import NO_ROUTE, name_method
from storage.traces import trace


class Tracing:
    """ASGI middleware inside `Entrance`, so that requests without a key are not traced."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on in a span."""
        if scope["type"] != "http" or scope["state"].get("key") is None:
            await self._app(scope, receive, send)
            return
        method = name_method(scope)
        parent = Headers(scope=scope).get("traceparent", "")
        with trace(method, parent=parent, kind="server", request=scope["state"]["request_id"]) as span:
            if span is None:
                await self._app(scope, receive, send)
                return

            async def send_traced(message: Message) -> None:
                if message["type"] == "http.response.start":
                    route = getattr(scope.get("route"), "path", NO_ROUTE)
                    span.update_name(f"{method} {route}")
                    span.set_attributes(
                        {
                            "http.request.method": method,
                            "http.route": route,
                            "http.response.status_code": message["status"],
                        }
                    )
                await send(message)

            await self._app(scope, receive, send_traced)
