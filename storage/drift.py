"""The distribution of V4's probabilities by day, from a sample of bounded size."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from sqlalchemy import Engine, text

from storage.database import connect_to_read

BINS: Final = 20
"""Number of equal intervals of the probabilities from 0 to 1."""
DAYS: Final = 14
OF_AN_HOUR: Final = 100
"""The newest verdicts of each hour that are sampled."""


@dataclass(frozen=True, slots=True)
class DaySample:
    """Sampled verdicts of a model on a day (UTC): the number of probabilities in each of the `BINS`."""

    day: date
    model_id: int
    mean: float
    bins: tuple[int, ...]

    @property
    def images(self) -> int:
        """The number of sampled verdicts."""
        return sum(self.bins)


# The newest verdicts of each hour, by the index on their time: a few hundred index lookups with so many rows each.
# The model is filtered afterwards, because otherwise an hour of another model would be read completely.
SAMPLE_PROBABILITIES = text(f"""
    SELECT CAST(hours.start AT TIME ZONE 'UTC' AS date) AS day, model_id,
        least(floor(stego_probability * {BINS})::int4, {BINS - 1}) AS bin, count(*) AS images,
        sum(stego_probability) AS total
    FROM generate_series(
        date_trunc('day', now(), 'UTC') - {DAYS - 1} * interval '24 hours', now(), interval '1 hour'
    ) AS hours (start) CROSS JOIN LATERAL (
        SELECT model_id, stego_probability FROM verdicts
        WHERE scanned_at >= hours.start AND scanned_at < hours.start + interval '1 hour'
        ORDER BY scanned_at DESC LIMIT {OF_AN_HOUR}
    ) AS sampled
    WHERE stego_probability IS NOT NULL GROUP BY day, model_id, bin ORDER BY day, model_id
""")


def sample_probabilities(engine: Engine) -> Sequence[DaySample]:
    """Return samples of a model for the last `DAYS` days, oldest first."""
    with connect_to_read(engine) as connection:
        rows = connection.execute(SAMPLE_PROBABILITIES).all()
    bins: dict[tuple[date, int], list[int]] = {}
    totals: dict[tuple[date, int], float] = {}
    for row in rows:
        key = (row.day, row.model_id)
        bins.setdefault(key, [0] * BINS)[row.bin] = row.images
        totals[key] = totals.get(key, 0.0) + row.total
    return [DaySample(*key, totals[key] / sum(counts), tuple(counts)) for key, counts in bins.items()]
