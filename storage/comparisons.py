"""Comparison of two models on the same bytes: how often they agree, and where they differ."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime

from sqlalchemy import Connection, Engine, text

from starlight_vocabulary.comparison import Comparison, DifferingFile, PairCount
from starlight_vocabulary.records import from_json
from storage.database import connect_to_read
from storage.time_limits import connect_within
from storage.verdict_search import NO_CANARY

# Files in a sample.
MOST_SAMPLED = 1000

# The latest verdict of a model on each file that it has judged.
NEWEST = f"""
    SELECT DISTINCT ON (sha256) sha256, job_id, ordinal, outcome, method, stego_probability FROM verdicts
    WHERE model_id = ANY(:{{models}}) AND outcome <> 'error' AND {NO_CANARY} {{narrowed}}
    ORDER BY sha256, scanned_at DESC, job_id DESC, ordinal DESC
"""
# Files judged by both models are found by their digests first, and only the sample is looked up by name. The sample is
# ordered by digest, which is as good as random.
COMPARE = f"""
    WITH pairs AS MATERIALIZED (
        SELECT sha256, first.job_id, first.ordinal, first.outcome, first.method AS stego_type, first.stego_probability,
            second.job_id AS other_job_id, second.ordinal AS other_ordinal, second.outcome AS other_outcome,
            second.method AS other_stego_type, second.stego_probability AS other_stego_probability,
            first.outcome = second.outcome AND first.method IS NOT DISTINCT FROM second.method AS agrees
        FROM ({NEWEST.format(models="first", narrowed="{narrowed}")}) AS first
            JOIN ({NEWEST.format(models="second", narrowed="{narrowed}")}) AS second USING (sha256)
    ), counted AS (
        SELECT outcome, stego_type, other_outcome, other_stego_type, agrees, count(*) AS files
        FROM pairs GROUP BY 1, 2, 3, 4, 5
    ), sampled AS (
        SELECT * FROM pairs WHERE NOT agrees ORDER BY sha256 LIMIT :limit
    ), named AS (
        SELECT encode(sampled.sha256, 'hex') AS sha256, uri, job_id, ordinal, sampled.outcome, stego_type,
            sampled.stego_probability, other_job_id, other_ordinal, other_outcome, other_stego_type,
            other_stego_probability
        FROM sampled JOIN verdicts USING (job_id, ordinal)
    )
    SELECT ARRAY(
        SELECT to_jsonb(counted) FROM counted
        ORDER BY files DESC, outcome, stego_type, other_outcome, other_stego_type
    ) AS counts, ARRAY(SELECT to_jsonb(named) FROM named ORDER BY sha256) AS sample
"""


def compare_models(
    engine: Engine,
    first: Sequence[int],
    second: Sequence[int],
    *,
    submitter: str | None = None,
    since: datetime | None = None,
    sample: int = 20,
    within_s: float | None = None,
) -> Comparison:
    """Compare the latest verdicts of two models on the same bytes, of one submitter and since a time if given.

    Excludes canaries. Raises QueryTooLongError if it takes longer than `within_s`.
    """
    clauses = {
        "AND job_id IN (SELECT id FROM jobs WHERE submitter = :submitter)": submitter,
        "AND scanned_at >= :since": since,
    }
    narrowed = " ".join(clause for clause, value in clauses.items() if value is not None)
    parameters = {
        "first": list(first), "second": list(second), "submitter": submitter, "since": since, "limit": sample,
    }  # fmt: skip
    with _connect(engine, within_s) as connection:
        row = connection.execute(text(COMPARE.format(narrowed=narrowed)), parameters).one()
    counts = [from_json(PairCount, each) for each in row.counts]
    return Comparison(
        files=sum(each.files for each in counts),
        differing=sum(each.files for each in counts if not each.agrees),
        counts=counts,
        sample=[from_json(DifferingFile, each) for each in row.sample],
    )


def _connect(engine: Engine, within_s: float | None) -> AbstractContextManager[Connection]:
    if within_s is None:
        return connect_to_read(engine)
    return connect_within(engine, within_s, "this comparison", "narrow it by `since`")
