"""Totals of events, for metrics: rows that only grow, updated in the transactions that cause the events.

No verdicts or jobs are counted for them, and purging does not reduce them. Canary images have totals of their own only,
while their chunks are counted like others. Each total has `SHARDS` rows, and each connection updates its own, so that
transactions do not wait for each other's commit.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, text

from starlight_vocabulary.words import ErrorCode, Outcome, Priority
from storage.new_verdict import NewVerdict

SHARDS = 32
# Upper bounds, in seconds, of the histogram of the time from submission to verdict.
IMAGE_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, math.inf)
# Recent verdicts are counted in periods of so many seconds, in a ring of slots that covers more than a minute.
PERIOD_S = 5
SLOTS = 16


class Total(StrEnum):
    """The events that are counted; the comments name the labels."""

    IMAGES_SUBMITTED = "images_submitted"  # none
    IMAGES_FINISHED = "images_finished"  # outcomes
    IMAGE_ERRORS = "image_errors"  # error codes
    IMAGES_FOUND = "images_found"  # methods
    IMAGES_REUSED = "images_reused"  # none
    IMAGES_CONVICTED = "images_convicted"  # none
    # A priority, a space, and a bound of `IMAGE_SECONDS`: images that took at most this long, and longer than the
    # previous bound.
    IMAGE_SECONDS = "image_seconds"
    IMAGE_MILLISECONDS = "image_milliseconds"  # priorities: the sum over all images
    CHUNKS_DISPATCHED = "chunks_dispatched"  # priorities
    CHUNKS_REPUBLISHED = "chunks_republished"  # none
    CHUNKS_CLAIMED = "chunks_claimed"  # none
    CHUNKS_LOST = "chunks_lost"  # none
    CHUNKS_SPLIT = "chunks_split"  # none
    CHUNKS_PUT_OFF = "chunks_put_off"  # none
    CHUNKS_GIVEN_BACK = "chunks_given_back"  # none
    WEBHOOK_ATTEMPTS = "webhook_attempts"  # `WebhookResult`
    CANARY_ROUNDS = "canary_rounds"  # the worst result of a round: `storage.canaries.CanaryResult`
    CANARY_IMAGES = "canary_images"  # the hidden method or `none`, a space, and the result
    CANARY_SECONDS = "canary_seconds"  # bounds of `IMAGE_SECONDS`, as above
    CANARY_MILLISECONDS = "canary_milliseconds"  # none: the sum over all canaries


class WebhookResult(StrEnum):
    """The result of an attempt to deliver a webhook."""

    DELIVERED = "delivered"
    FAILED = "failed"
    GIVEN_UP = "given_up"


Counts = Counter[tuple[Total, str]]


def count_one(total: Total, label: str = "", by: int = 1) -> Counts:
    """Return the increments for one total."""
    return Counter({(total, label): by})


def count_errors(code: ErrorCode, images: int) -> Counts:
    """Return the increments for so many images that ended with this error."""
    return Counter({(Total.IMAGES_FINISHED, Outcome.ERROR.value): images, (Total.IMAGE_ERRORS, code.value): images})


def name_bound(seconds: float) -> str:
    """Return the label of the bound of `IMAGE_SECONDS` for so many seconds."""
    return f"{IMAGE_SECONDS[bisect_left(IMAGE_SECONDS, seconds)]:g}"


def count_verdicts(verdicts: Iterable[NewVerdict], priority: Priority, age_s: float) -> Counts:
    """Return the increments for verdicts on images that were submitted `age_s` seconds ago."""
    counts: Counts = Counter()
    images = 0
    for verdict in verdicts:
        images += 1
        counts[Total.IMAGES_FINISHED, verdict.outcome.value] += 1
        if verdict.error_code:
            counts[Total.IMAGE_ERRORS, verdict.error_code.value] += 1
        if verdict.method:
            counts[Total.IMAGES_FOUND, verdict.method.value] += 1
        if verdict.reused:
            counts[Total.IMAGES_REUSED, ""] += 1
    counts[Total.IMAGE_SECONDS, f"{priority.value} {name_bound(age_s)}"] += images
    counts[Total.IMAGE_MILLISECONDS, priority.value] += round(images * age_s * 1000)
    return counts


# Rows are locked in one order, recent images last, so that connections with the same shard cannot deadlock.
RAISE_TOTALS = text(f"""
    WITH raised AS (
        INSERT INTO totals (name, label, shard, value)
        SELECT name, label, pg_backend_pid() % {SHARDS}, value
        FROM unnest(CAST(:names AS text[]), CAST(:labels AS text[]), CAST(:values AS int8[]))
            AS counted (name, label, value)
        ORDER BY name, label
        ON CONFLICT (name, label, shard) DO UPDATE SET value = totals.value + excluded.value
        RETURNING 1
    )
    INSERT INTO recent_images (slot, shard, period, images)
    SELECT period % {SLOTS}, pg_backend_pid() % {SHARDS}, period, :recent
    FROM (SELECT count(*) FROM raised) AS counted, floor(extract(epoch FROM now()) / {PERIOD_S}) AS period
    WHERE CAST(:recent AS int8) > 0
    ON CONFLICT (slot, shard) DO UPDATE SET period = greatest(recent_images.period, excluded.period),
        images = excluded.images
            + CASE WHEN recent_images.period >= excluded.period THEN recent_images.images ELSE 0 END
""")


def raise_totals(connection: Connection, counts: Counts) -> None:
    """Increase totals; call this last in a transaction, because it locks rows."""
    present = {key: count for key, count in counts.items() if count > 0}
    if not present:
        return
    finished = sum(count for (total, _), count in present.items() if total is Total.IMAGES_FINISHED)
    cancelled = present.get((Total.IMAGE_ERRORS, ErrorCode.CANCELLED.value), 0)
    connection.execute(
        RAISE_TOTALS,
        {
            "names": [total.value for total, _ in present],
            "labels": [label for _, label in present],
            "values": list(present.values()),
            "recent": finished - cancelled,
        },
    )


@dataclass(frozen=True, slots=True)
class Totals:
    """Totals since the first migration; an event that never happened is 0."""

    counts: Mapping[tuple[Total, str], int]

    def get(self, total: Total, label: str = "") -> int:
        """Return a total."""
        return self.counts.get((total, label), 0)

    def by_label(self, total: Total, known: Iterable[str]) -> dict[str, int]:
        """Return a total by label: all known labels, and those that were counted."""
        raised = {label: count for (each, label), count in self.counts.items() if each is total}
        return {**dict.fromkeys(map(str, known), 0), **raised}


# All totals: dozens of names and labels, with a row per shard.
SUM_TOTALS = text("SELECT name, label, sum(value)::int8 AS value FROM totals GROUP BY name, label")

# Images of the last minute: complete periods, and the matching share of the oldest one.
COUNT_RECENT = text(f"""
    SELECT coalesce(round(sum(
        images * CASE WHEN period = floor(present) - {60 // PERIOD_S} THEN 1 - present + floor(present) ELSE 1 END
    )), 0)::int8
    FROM recent_images, CAST(extract(epoch FROM now()) / {PERIOD_S} AS numeric) AS present
    WHERE period >= floor(present) - {60 // PERIOD_S}
""")


def read_totals(connection: Connection) -> Totals:
    """Return all totals; unknown ones, of a newer release, are ignored."""
    rows = connection.execute(SUM_TOTALS).all()
    known = {total.value: total for total in Total}
    return Totals({(known[row.name], row.label): row.value for row in rows if row.name in known})


def count_recent_images(connection: Connection) -> int:
    """Return the number of images judged in the last 60 seconds, to within `PERIOD_S`, without cancelled ones."""
    return int(connection.execute(COUNT_RECENT).scalar_one())
