"""Progress of the jobs, and the time from each fault to the next verdict."""

import time
from dataclasses import dataclass, field

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from research.chaos.posts import SUBMITTER

COUNT_FINISHED = text("SELECT coalesce(sum(clean + stego + error), 0) FROM jobs WHERE submitter <> :submitter")


def count_finished(engine: Engine) -> int | None:
    """Return the number of finished images, except those sent one by one; None if the database is unavailable."""
    try:
        with engine.connect() as connection:
            return int(connection.execute(COUNT_FINISHED, {"submitter": SUBMITTER}).scalar_one())
    except SQLAlchemyError:
        return None


@dataclass
class Recoveries:
    """Open faults with their time and the number of verdicts then; the next verdict closes them."""

    longest_s: float = 0.0
    longest_after: str = ""
    _open: list[tuple[str, float, int]] = field(default_factory=list)

    def fault(self, name: str, finished: int) -> None:
        """Record a fault that happens now."""
        self._open.append((name, time.monotonic(), finished))

    def progress(self, finished: int) -> None:
        """Close the faults after which there are new verdicts."""
        now = time.monotonic()
        for name, at, before in self._open:
            if finished > before and now - at > self.longest_s:
                self.longest_s, self.longest_after = now - at, name
        self._open = [each for each in self._open if finished <= each[2]]
