"""How far the jobs are, and how long verdicts stayed away after each fault."""

import time
from dataclasses import dataclass, field

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from research.chaos.posts import SUBMITTER

COUNT_FINISHED = text("SELECT coalesce(sum(clean + stego + error), 0) FROM jobs WHERE submitter <> :submitter")


def finished_images(engine: Engine) -> int | None:
    """Return how many images of jobs have their verdict, but for those sent one by one; None without a database."""
    try:
        with engine.connect() as connection:
            return int(connection.execute(COUNT_FINISHED, {"submitter": SUBMITTER}).scalar_one())
    except SQLAlchemyError:
        return None


@dataclass
class Recoveries:
    """For each fault, when it happened and how many verdicts there were; settled by the next verdict after it."""

    longest_s: float = 0.0
    longest_after: str = ""
    _open: list[tuple[str, float, int]] = field(default_factory=list)

    def fault(self, name: str, finished: int) -> None:
        """Remember that a fault happened now."""
        self._open.append((name, time.monotonic(), finished))

    def progress(self, finished: int) -> None:
        """Settle the faults after which there are new verdicts."""
        now = time.monotonic()
        for name, at, before in self._open:
            if finished > before and now - at > self.longest_s:
                self.longest_s, self.longest_after = now - at, name
        self._open = [each for each in self._open if finished <= each[2]]
