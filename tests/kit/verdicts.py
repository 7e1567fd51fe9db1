"""Verdicts of every kind, and as a writer prints them."""

import io
import uuid
from datetime import UTC, datetime
from typing import Any

from producer.verdict_writers import VerdictWriter
from starlight_vocabulary.payload import Member, PayloadKind
from starlight_vocabulary.records import to_json
from starlight_vocabulary.verdict import Verdict
from storage.verdicts import read_verdict
from tests.kit.payloads import make_payload

JOB = uuid.UUID("01890000-0000-7000-8000-000000000001")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
# A text that breaks lines and cells and steers terminals, unless it is escaped.
HOSTILE = 'a,"b"\r\n\x1b[31mred\x07 \u202eleft\u2028 ü世🌍 =1+1 [bold]'


def make_verdict(**changes: Any) -> Verdict:
    """Return a verdict as the database returns it, clean unless changed."""
    row = {
        "job_id": JOB,
        "ordinal": 3,
        "uri": "file:///images/a%20b.png",
        "sha256": bytes(range(32)),
        "outcome": "clean",
        "stego_probability": 0.25,
        "method": None,
        "bit_order": None,
        "extracted_message": None,
        "payload": None,
        "error_code": None,
        "error_detail": None,
        "model_name": "starlight",
        "model_version": "4.0",
        "model_sha256": "ab" * 32,
        "threshold": 0.5,
        "width": 9,
        "height": 5,
        "format": "PNG",
        "size_bytes": 1234,
        "reused": False,
        "scanned_at": NOON,
    }
    return read_verdict({**row, **changes})  # type: ignore[arg-type]


CLEAN = make_verdict()
LISTED = make_payload(kind=PayloadKind.ZIP, size=2**33, text=None, listing=[Member("ü.txt", 2**40)], encoding=None)
STEGO = make_verdict(
    outcome="stego", stego_probability=0.9876, method="lsb.rgb", bit_order="msb-first", extracted_message="hello",
    payload=to_json(make_payload(text="")),
)  # fmt: skip
ARCHIVE = make_verdict(outcome="stego", method="raw", extracted_message=LISTED.to_message(), payload=to_json(LISTED))
FAILED = make_verdict(
    outcome="error", error_code="truncated", error_detail="it ends early", stego_probability=None, sha256=None,
    model_sha256=None, threshold=None, width=None, height=None, format=None, size_bytes=None,
)  # fmt: skip


def print_verdicts(kind: type, *verdicts: Verdict) -> str:
    """Return what a writer of this kind writes of the verdicts, in two parts."""
    stream = io.StringIO()
    output: VerdictWriter = kind(stream)
    output.write(verdicts[:1])
    output.write(verdicts[1:])
    return stream.getvalue()
