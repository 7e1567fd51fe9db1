"""How many images wait for a verdict, and how many more may."""

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from storage.database import connect_to_read


class TooManyWaitingError(Exception):
    """More images would wait than may; the message says whose and how many."""


@dataclass(frozen=True, slots=True)
class WaitingLimits:
    """Images without a verdict that there may be: of one submitter, and of all."""

    own: int
    all: int


@dataclass(frozen=True, slots=True)
class Room:
    """Images without a verdict that there are, in jobs that have not ended, beside those that there may be."""

    own: int
    all: int
    limits: WaitingLimits

    def check(self, more: int = 1) -> None:
        """Raise TooManyWaitingError where there is no room for so many more."""
        for count, limit, owner in (
            (self.own, self.limits.own, "of this key"),
            (self.all, self.limits.all, "of all keys together"),
        ):
            if count + more > limit:
                raise TooManyWaitingError(f"{count:,} images {owner} wait; with these it would be more than {limit:,}")


# Images of open jobs that have no verdict.
COUNT_WAITING = text("""
    SELECT coalesce(sum(total - clean - stego - error) FILTER (WHERE submitter = :submitter), 0) AS own,
        coalesce(sum(total - clean - stego - error), 0) AS all_together
    FROM jobs WHERE state IN ('pending', 'running') AND NOT canary
""")


def find_room(where: Engine | Connection, submitter: str, limits: WaitingLimits) -> Room:
    """Return how many images wait, in the present transaction or outside of any."""
    if isinstance(where, Engine):
        with connect_to_read(where) as connection:
            return find_room(connection, submitter, limits)
    row = where.execute(COUNT_WAITING, {"submitter": submitter}).one()
    return Room(row.own, row.all_together, limits)
