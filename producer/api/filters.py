"""Filters of verdicts, used by searches, exports and rescans."""

import re
import uuid
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from starlight_vocabulary.job import NO_NUL, SHORT_TEXT
from starlight_vocabulary.words import ErrorCode, Method, Outcome
from storage.inscription_search import check_inscription
from storage.message_search import check_part, check_words
from storage.verdict_search import VerdictFilter, check_period


def add_zone(time: datetime) -> datetime:
    """Return the time with its zone, by default UTC."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def check_until(until: datetime, info: ValidationInfo) -> datetime:
    """Return the end of a period; raises ValueError if it is earlier than `since`, which must be declared before."""
    check_period(info.data.get("since"), until)
    return until


def parse_time(value: object) -> object:
    """Return the time of a text in ISO 8601; numbers, such as a year, are refused instead of read as seconds."""
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError("not a time: write it like 2026-05-31 or 2026-05-31T12:00:00+00:00") from None


def check_sha256(digest: str) -> str:
    """Return a SHA-256 in hex; raises ValueError if it is none."""
    if not re.fullmatch(SHA256, digest):
        raise ValueError("not a SHA-256: it must have 64 hexadecimal digits")
    return digest


SHA256 = "[0-9a-fA-F]{64}"
Sha256 = Annotated[
    str,
    AfterValidator(check_sha256),
    Field(description="SHA-256 of the file, in hex.", json_schema_extra={"pattern": f"^{SHA256}$"}),
]
Words = Annotated[
    str, AfterValidator(check_words), Field(description="The hidden message contains all these words, in any order.")
]
Part = Annotated[str, AfterValidator(check_part), Field(description="The hidden message contains this text.")]
Inscription = Annotated[
    str,
    AfterValidator(check_inscription),
    Field(description="Inscription in the chain: `TXID:iN`, or `TXID` for all of a transaction."),
]
Time = Annotated[datetime, BeforeValidator(parse_time), AfterValidator(add_zone)]
Until = Annotated[Time, AfterValidator(check_until)]
Model = Annotated[
    str,
    Field(
        min_length=1,
        max_length=400,
        pattern=NO_NUL,
        description="The model that scored the image: `NAME-VERSION`, its version, or a prefix of the SHA-256 of its "
        "weights.",
    ),
]
Submitter = Annotated[str, Field(**SHORT_TEXT)]


class Filters(BaseModel):
    """Filters that select verdicts."""

    model_config = ConfigDict(extra="forbid")

    outcome: Outcome | None = None
    method: Method | None = None
    since: Time | None = Field(None, description="From this time on; UTC if it has no time zone.")
    until: Until | None = Field(None, description="Before this time.")
    sha256: Sha256 | None = None
    words: Words | None = None
    part: Part | None = None
    inscription: Inscription | None = None
    error_code: list[ErrorCode] = Field([], max_length=len(ErrorCode), description="Any of these.")

    def build_filter(
        self, *, job_id: uuid.UUID | None = None, submitter: str | None = None, model: str | None = None
    ) -> VerdictFilter:
        """Return the filter for one job or all, of one submitter or all, of one model or all."""
        return VerdictFilter(
            job_id=job_id,
            submitter=submitter,
            model=model,
            outcome=self.outcome,
            method=self.method,
            since=self.since,
            until=self.until,
            sha256=self.sha256,
            words=self.words,
            part=self.part,
            inscription=self.inscription,
            error_codes=tuple(self.error_code) or None,
        )
