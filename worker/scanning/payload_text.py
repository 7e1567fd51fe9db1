"""Serialises payloads, and checks those that come from a decoding process, which is not trusted."""

import json
import logging
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final

from starlight_vocabulary.payload import Member, Payload
from starlight_vocabulary.records import to_json
from worker.scanning.chunk_scan import make_storable

if TYPE_CHECKING:
    from pydantic import TypeAdapter

ABOUT_BYTES: Final = 128 * 2**10
"""The maximum size of the JSON about a payload, without its text."""

log = logging.getLogger(__name__)


def write_payload_text(payload: Payload) -> tuple[bytes, bytes]:
    """Return a payload without its text, as JSON of at most `ABOUT_BYTES`, and its text in UTF-8."""
    text = "" if payload.text is None else payload.text
    about = json.dumps(to_json(replace(payload, text=None if payload.text is None else "")))
    if len(about) > ABOUT_BYTES:
        # Names of members may need many escapes.
        about = json.dumps(to_json(replace(payload, text=None, listing=None, truncated=True)))
    return about.encode(), text.encode("utf-8", "replace")


def read_payload_text(about: bytes, text: bytes) -> Payload | None:
    """Return the payload, without what PostgreSQL cannot store; None if it is invalid."""
    try:
        payload = _adapter().validate_json(about)
    except ValueError:
        log.warning("a decoding process returned an invalid payload")
        return None
    return replace(
        payload,
        header=_clean(payload.header),
        closed_by=_clean(payload.closed_by),
        encoding=_clean(payload.encoding),
        detail=_clean(payload.detail),
        text=None if payload.text is None else make_storable(text.decode("utf-8", "replace")),
        listing=payload.listing and [Member(make_storable(each.name), each.size) for each in payload.listing],
    )


def _clean(words: str | None) -> str | None:
    return None if words is None else make_storable(words)


@cache
def _adapter() -> "TypeAdapter[Payload]":
    # Imported here, since the decoding processes do not need it.
    from pydantic import TypeAdapter

    return TypeAdapter(Payload)
