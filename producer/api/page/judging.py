"""Judgements of verdicts: storing them, and downloading them as labels."""

import json
from collections.abc import Iterator
from typing import Annotated, Final

from fastapi import APIRouter, Form, Response
from fastapi.responses import StreamingResponse

from producer.api.access import Reading, Submitting, visible_submitter
from producer.api.page.rendering import PREFIX, redirect
from producer.api.routes.verdicts import VisibleVerdict
from producer.api.service import Shared
from starlight_vocabulary.formats import ExportFormat
from starlight_vocabulary.job import NO_NUL
from starlight_vocabulary.records import to_json
from starlight_vocabulary.words import Judgement
from storage.judgements import JudgedVerdict, find_labels, judge

MAX_NOTE: Final = 2000
HEADERS: Final = {"Content-Disposition": 'attachment; filename="labels.ndjson"'}

router = APIRouter(prefix=PREFIX, include_in_schema=False)


@router.post("/jobs/{job_id}/verdicts/{ordinal}/judgements")
def judge_verdict(
    verdict: VisibleVerdict,
    key: Submitting,
    service: Shared,
    judgement: Annotated[Judgement, Form()],
    note: Annotated[str, Form(max_length=MAX_NOTE, pattern=NO_NUL)] = "",
) -> Response:
    """Store a judgement of a verdict by the key that is signed in."""
    judge(service.engine, verdict.job_id, verdict.ordinal, judgement, note, key.name)
    return redirect(f"{PREFIX}/jobs/{verdict.job_id}/verdicts/{verdict.ordinal}")


@router.get("/labels")
def download_labels(key: Reading, service: Shared) -> Response:
    """Return the newest judgement of each verdict by each key, as NDJSON."""
    lines = map(write_label, find_labels(service.engine, visible_submitter(key)))
    return StreamingResponse(iter_lines(lines), media_type=ExportFormat.NDJSON.media_type, headers=HEADERS)


def iter_lines(lines: Iterator[str]) -> Iterator[str]:
    """Yield each line with a newline."""
    for line in lines:
        yield f"{line}\n"


def write_label(judged: JudgedVerdict) -> str:
    """Return a judgement as JSON in ASCII; `is_stego` is what it says about the image, null if it says nothing."""
    return json.dumps({**to_json(judged), "is_stego": judged.is_stego})
