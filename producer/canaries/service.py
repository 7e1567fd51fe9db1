"""Running rounds of canaries for as long as the process lives. Any number of services may: one round runs at a time."""

import logging
import secrets
import time
from typing import NoReturn

from obstore.exceptions import BaseError as StoreError
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from producer.canaries.rounds import PATIENCE_S, run_round
from storage.canaries import CanaryAnswer, CanaryResult, begin_round, count_results, find_slowest, find_worst
from storage.database import may_succeed_later
from storage.outages import POSTGRESQL, Patience
from storage.settings import Settings
from storage.uploads import StorageFullError
from storage.workers import list_live_workers

LOOK_EVERY_S = 5.0
# As many as PostgreSQL's integers and everybody's JSON hold.
SEED_BITS = 53

log = logging.getLogger(__name__)


def draw_seed() -> int:
    """Return a seed that nobody has drawn canaries from."""
    return secrets.randbits(SEED_BITS)


class CanaryService:
    """Runs a round whenever one is due and a worker lives."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._interval_s = settings.canary_interval.total_seconds()

    def run(self) -> NoReturn:
        """Run rounds for ever, waiting out a lost database, and a blob store that takes nothing."""
        if not self._interval_s:
            log.warning("STARLIGHT_CANARY_INTERVAL is 0: there are no canaries")
        with Patience(POSTGRESQL) as database:
            while True:
                try:
                    self.run_if_due()
                except DBAPIError as error:
                    if not may_succeed_later(error):
                        raise
                    database.wait_after(error.orig or error)
                except (StoreError, StorageFullError, OSError) as error:
                    log.warning("a round of canaries cannot be stored: %s", error)
                    database.note_success()
                else:
                    database.note_success()
                time.sleep(LOOK_EVERY_S)

    def run_if_due(self) -> list[CanaryAnswer] | None:
        """Run a round and return its answers; None where none is due, another runs, or no worker lives."""
        if not list_live_workers(self._engine, self._settings.lease_s) or not self._interval_s:
            return None
        seed = draw_seed()
        round_id = begin_round(self._engine, seed, self._interval_s)
        if round_id is None:
            return None
        answers = run_round(self._engine, self._settings, round_id, seed, PATIENCE_S)
        report(seed, answers)
        return answers


def report(seed: int, answers: list[CanaryAnswer]) -> None:
    """Log what came of a round in one line, and each image that is not right in one of its own."""
    for answer in answers:
        if answer.result is not CanaryResult.RIGHT:
            told = {
                "image": answer.name, "result": answer.result, "outcome": answer.outcome, "method": answer.stego_type,
                "probability": answer.stego_probability, "error": answer.error_code, "model": answer.model,
            }  # fmt: skip
            log.warning("a canary is not right", extra={"seed": seed, **told})
    counts = count_results(answers)
    told_counts = {result.value: counts[result] for result in CanaryResult if counts[result]}
    level = logging.INFO if find_worst(answers) is CanaryResult.RIGHT else logging.WARNING
    log.log(
        level, "a round of canaries came back", extra={"seed": seed, **told_counts, "seconds": find_slowest(answers)}
    )
