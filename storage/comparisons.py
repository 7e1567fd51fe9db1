"""What two models say of the same bytes: how often they agree, and where they do not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text

from starlight_vocabulary.words import Method, Outcome
from storage.database import connect_to_read

# The newest verdict of each of the two on each file that both have judged.
PAIRS = """
    WITH first AS (
        SELECT DISTINCT ON (sha256) sha256, job_id, ordinal, uri, outcome, method, stego_probability FROM verdicts
        WHERE model_id = ANY(:first) AND outcome <> 'error' {narrowed}
        ORDER BY sha256, scanned_at DESC, job_id DESC, ordinal DESC
    ), second AS (
        SELECT DISTINCT ON (sha256) sha256, job_id, ordinal, outcome, method, stego_probability FROM verdicts
        WHERE model_id = ANY(:second) AND outcome <> 'error' {narrowed}
        ORDER BY sha256, scanned_at DESC, job_id DESC, ordinal DESC
    )
"""
AGREES = "first.outcome = second.outcome AND first.method IS NOT DISTINCT FROM second.method"
COUNT_PAIRS = f"""
    {PAIRS} SELECT first.outcome, first.method, second.outcome AS other_outcome, second.method AS other_method,
        count(*) AS files FROM first JOIN second USING (sha256) GROUP BY 1, 2, 3, 4 ORDER BY files DESC, 1, 2, 3, 4
"""
# By their digests, which is as good as by chance.
LIST_DIFFERING = f"""
    {PAIRS} SELECT encode(sha256, 'hex') AS sha256, uri, first.job_id, first.ordinal, first.outcome, first.method,
        first.stego_probability, second.job_id AS other_job_id, second.ordinal AS other_ordinal,
        second.outcome AS other_outcome, second.method AS other_method,
        second.stego_probability AS other_stego_probability
    FROM first JOIN second USING (sha256) WHERE NOT ({AGREES}) ORDER BY sha256 LIMIT :limit
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCount:
    """On how many files the first model says this and the other that."""

    outcome: Outcome
    method: Method | None
    other_outcome: Outcome
    other_method: Method | None
    files: int

    @property
    def agrees(self) -> bool:
        """Whether both say the same."""
        return (self.outcome, self.method) == (self.other_outcome, self.other_method)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two models say of the files that both have judged; the sample has files on which they differ."""

    counts: list[PairCount]
    sample: list[dict[str, Any]]

    @property
    def files(self) -> int:
        """How many files both have judged."""
        return sum(each.files for each in self.counts)

    @property
    def differing(self) -> int:
        """On how many they differ in outcome or method."""
        return sum(each.files for each in self.counts if not each.agrees)


def compare_models(
    engine: Engine,
    first: Sequence[int],
    second: Sequence[int],
    *,
    submitter: str | None = None,
    since: datetime | None = None,
    sample: int = 20,
) -> Comparison:
    """Compare the newest verdicts of two models on the same bytes, of one submitter and since a time if wanted."""
    clauses = {
        "AND job_id IN (SELECT id FROM jobs WHERE submitter = :submitter)": submitter,
        "AND scanned_at >= :since": since,
    }
    narrowed = " ".join(clause for clause, value in clauses.items() if value is not None)
    parameters = {
        "first": list(first), "second": list(second), "submitter": submitter, "since": since, "limit": sample,
    }  # fmt: skip
    with connect_to_read(engine) as connection:
        counts = connection.execute(text(COUNT_PAIRS.format(narrowed=narrowed)), parameters).mappings()
        counted = [PairCount(**{str(name): value for name, value in row.items()}) for row in counts]
        differing = connection.execute(text(LIST_DIFFERING.format(narrowed=narrowed)), parameters).mappings()
        return Comparison(counted, [{str(name): value for name, value in row.items()} for row in differing])
