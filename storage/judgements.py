"""People's judgements of verdicts: stored beside them with author and time, never in their place."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, RowMapping, text

from starlight_vocabulary.payload import Payload
from starlight_vocabulary.words import BitOrder, Judgement, Method, Outcome
from storage.database import connect_to_read
from storage.verdicts import read_payload


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedVerdict:
    """A judgement together with the verdict that it is about."""

    job_id: uuid.UUID
    ordinal: int
    uri: str
    sha256: str | None
    outcome: Outcome
    stego_probability: float | None
    stego_type: Method | None
    bit_order: BitOrder | None
    extracted_message: str | None
    payload: Payload | None
    model: str | None
    judgement: Judgement
    note: str
    judged_by: str
    judged_at: datetime

    @property
    def is_stego(self) -> bool | None:
        """Whether something is hidden according to the person; None if unknown."""
        if self.judgement is Judgement.UNSURE or self.outcome is Outcome.ERROR:
            return None
        return (self.outcome is Outcome.STEGO) == (self.judgement is Judgement.TRUE)


# Inserts a judgement if the verdict exists.
INSERT_JUDGEMENT = text("""
    INSERT INTO judgements (job_id, ordinal, judgement, note, judged_by)
    VALUES (:job_id, :ordinal, :judgement, :note, :judged_by)
""")


def judge(engine: Engine, job_id: uuid.UUID, ordinal: int, judgement: Judgement, note: str, judged_by: str) -> None:
    """Store a judgement of a verdict; earlier judgements stay."""
    parameters = {
        "job_id": job_id, "ordinal": ordinal, "judgement": judgement, "note": note, "judged_by": judged_by,
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(INSERT_JUDGEMENT, parameters)


SELECT_JUDGED = """
    SELECT judgements.*, uri, encode(verdicts.sha256, 'hex') AS sha256, outcome, stego_probability, method, bit_order,
        extracted_message, payload, models.name || '-' || models.version || '@sha256:' || models.sha256 AS model
    FROM judgements JOIN verdicts USING (job_id, ordinal) LEFT JOIN models ON models.id = verdicts.model_id
"""

# Judgements of one verdict, newest first.
LIST_JUDGEMENTS = text(f"{SELECT_JUDGED} WHERE job_id = :job_id AND ordinal = :ordinal ORDER BY id DESC LIMIT :limit")


def list_judgements(engine: Engine, job_id: uuid.UUID, ordinal: int, limit: int = 100) -> list[JudgedVerdict]:
    """Return the judgements of a verdict, newest first."""
    parameters = {"job_id": job_id, "ordinal": ordinal, "limit": limit}
    with connect_to_read(engine) as connection:
        return [_read_judged(row) for row in connection.execute(LIST_JUDGEMENTS, parameters).mappings()]


# Judgements after the given one, oldest first, each person's latest on a verdict only.
LIST_LABELS = text(f"""
    {SELECT_JUDGED} WHERE judgements.id > :after
        AND (CAST(:submitter AS text) IS NULL OR job_id IN (SELECT jobs.id FROM jobs WHERE submitter = :submitter))
        AND NOT EXISTS (
            SELECT FROM judgements AS newer WHERE newer.job_id = judgements.job_id
                AND newer.ordinal = judgements.ordinal AND newer.judged_by = judgements.judged_by
                AND newer.id > judgements.id
        )
    ORDER BY judgements.id LIMIT :limit
""")
PAGE = 1000


def find_labels(engine: Engine, submitter: str | None = None) -> Iterator[JudgedVerdict]:
    """Yield each person's latest judgement of each verdict, for jobs of one submitter or all, page by page."""
    after, page = 0, PAGE
    while page == PAGE:
        parameters = {"submitter": submitter, "after": after, "limit": PAGE}
        with connect_to_read(engine) as connection:
            rows: Sequence[RowMapping] = connection.execute(LIST_LABELS, parameters).mappings().all()
        yield from map(_read_judged, rows)
        page = len(rows)
        after = rows[-1]["id"] if rows else after


@dataclass(frozen=True, slots=True)
class Agreement:
    """Judgements of verdicts of one outcome, method and tenth of the probability range.

    `stego` is the number of stego images according to people, `total` the sum of V4's probabilities of the images
    judged true or false.
    """

    outcome: Outcome
    method: Method | None
    tenth: int
    true: int
    false: int
    unsure: int
    stego: int
    total: float

    @property
    def judged(self) -> int:
        """The number of verdicts judged true or false."""
        return self.true + self.false


# Each person's latest judgement of each scored verdict, limited to the newest rows.
COUNT_AGREEMENT = text("""
    SELECT outcome, method, least(floor(stego_probability * 10)::int4, 9) AS tenth,
        count(*) FILTER (WHERE judgement = 'true') AS "true", count(*) FILTER (WHERE judgement = 'false') AS "false",
        count(*) FILTER (WHERE judgement = 'unsure') AS unsure,
        count(*) FILTER (WHERE judgement <> 'unsure' AND (outcome = 'stego') = (judgement = 'true')) AS stego,
        coalesce(sum(stego_probability) FILTER (WHERE judgement <> 'unsure'), 0)::float8 AS total
    FROM (
        SELECT DISTINCT ON (job_id, ordinal, judged_by) job_id, ordinal, judgement
        FROM (SELECT * FROM judgements ORDER BY id DESC LIMIT :most) AS newest
        ORDER BY job_id, ordinal, judged_by, id DESC
    ) AS labels JOIN verdicts USING (job_id, ordinal)
    WHERE stego_probability IS NOT NULL AND model_id = :model_id
        AND (CAST(:submitter AS text) IS NULL OR job_id IN (SELECT jobs.id FROM jobs WHERE submitter = :submitter))
    GROUP BY outcome, method, tenth ORDER BY outcome, method, tenth
""")
MOST_JUDGED = 10_000


def count_agreement(engine: Engine, model_id: int, submitter: str | None = None) -> list[Agreement]:
    """Return judgements of a model's verdicts, for jobs of one submitter or all: the newest `MOST_JUDGED`."""
    parameters = {"model_id": model_id, "submitter": submitter, "most": MOST_JUDGED}
    with connect_to_read(engine) as connection:
        return [
            Agreement(**{
                **row, "outcome": Outcome.read(row["outcome"]),
                "method": Method.read(row["method"]) if row["method"] else None,
            })
            for row in connection.execute(COUNT_AGREEMENT, parameters).mappings()
        ]  # fmt: skip


def _read_judged(row: RowMapping) -> JudgedVerdict:
    return JudgedVerdict(
        job_id=row["job_id"],
        ordinal=row["ordinal"],
        uri=row["uri"],
        sha256=row["sha256"],
        outcome=Outcome.read(row["outcome"]),
        stego_probability=row["stego_probability"],
        stego_type=Method.read(row["method"]) if row["method"] else None,
        bit_order=BitOrder.read(row["bit_order"]) if row["bit_order"] else None,
        extracted_message=row["extracted_message"],
        payload=read_payload(row["payload"], row["extracted_message"]),
        model=row["model"],
        judgement=Judgement.read(row["judgement"]),
        note=row["note"],
        judged_by=row["judged_by"],
        judged_at=row["judged_at"],
    )
