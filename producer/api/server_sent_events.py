"""The format of server-sent events."""

from fastapi.sse import format_sse_event


def format_event(name: str, data: str, event_id: str | None = None) -> bytes:
    """Return one server-sent event."""
    return format_sse_event(event=name, data_str=data, id=event_id)
