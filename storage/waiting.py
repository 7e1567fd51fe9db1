"""The number of images that wait for a verdict, and its limits."""

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from storage.database import connect_to_read


class TooManyWaitingError(Exception):
    """More images would wait than may; the message says whose and how many."""


@dataclass(frozen=True, slots=True)
class WaitingLimits:
    """The maximum number of images without a verdict: per submitter, and in total."""

    own: int
    all: int


@dataclass(frozen=True, slots=True)
class Room:
    """The current number of images without a verdict in open jobs, with the limits."""

    own: int
    all: int
    limits: WaitingLimits

    def check(self, more: int = 1) -> None:
        """Raise TooManyWaitingError if there is no room for so many more."""
        for count, limit, owner in (
            (self.own, self.limits.own, "of this key"),
            (self.all, self.limits.all, "of all keys together"),
        ):
            if count + more > limit:
                raise TooManyWaitingError(f"{count:,} images {owner} wait; with these it would be more than {limit:,}")


# Images of open jobs without a verdict.
COUNT_WAITING = text("""
    SELECT coalesce(sum(total - clean - stego - error) FILTER (WHERE submitter = :submitter), 0) AS own,
        coalesce(sum(total - clean - stego - error), 0) AS all_together
    FROM jobs WHERE state IN ('pending', 'running') AND NOT canary
""")


def find_room(where: Engine | Connection, submitter: str, limits: WaitingLimits) -> Room:
    """Return the number of waiting images, as seen by the current transaction, if any."""
    if isinstance(where, Engine):
        with connect_to_read(where) as connection:
            return find_room(connection, submitter, limits)
    row = where.execute(COUNT_WAITING, {"submitter": submitter}).one()
    return Room(row.own, row.all_together, limits)
