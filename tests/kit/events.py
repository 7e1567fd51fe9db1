"""Parses streams of server-sent events."""

import json
from typing import Any

Event = tuple[str, str, dict[str, Any]]


def parse_events(data: bytes) -> list[Event]:
    """Return name, id and data of each event."""
    events = []
    for block in data.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            events.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return events


def list_ordinals(events: list[Event]) -> list[int]:
    """Return the ordinals of the verdicts, in the order of their events."""
    return [data["ordinal"] for name, _, data in events if name == "verdict"]
