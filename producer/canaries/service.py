"""The service that runs rounds of canaries. Several may run; there is only one round at a time."""

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
from storage.outages import POSTGRESQL, Backoff
from storage.settings import Settings
from storage.storage_limits import StorageFullError
from storage.workers import list_live_workers

LOOK_EVERY_S = 5.0
# The largest integers that are exact in JSON for all readers.
SEED_BITS = 53

log = logging.getLogger(__name__)


def draw_seed() -> int:
    """Return a random seed, which makes the images new."""
    return secrets.randbits(SEED_BITS)


class CanaryService:
    """Runs a round whenever one is due and there is a live worker."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._interval_s = settings.canary_interval.total_seconds()

    def run(self) -> NoReturn:
        """Run rounds for ever; wait while the database or the blob store is not available."""
        if not self._interval_s:
            log.warning("STARLIGHT_CANARY_INTERVAL is 0: no canaries are sent")
        with Backoff(POSTGRESQL) as database:
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
        """Run a round and return its answers, or None if none is due, another one runs, or there is no live worker."""
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
    """Log one line for the round, and one for each canary whose verdict is not right."""
    for answer in answers:
        if answer.result is not CanaryResult.RIGHT:
            details = {
                "image": answer.name, "result": answer.result, "outcome": answer.outcome, "method": answer.stego_type,
                "probability": answer.stego_probability, "error": answer.error_code, "model": answer.model,
            }  # fmt: skip
            log.warning("a canary is not right", extra={"seed": seed, **details})
    counts = count_results(answers)
    counted = {result.value: counts[result] for result in CanaryResult if counts[result]}
    level = logging.INFO if find_worst(answers) is CanaryResult.RIGHT else logging.WARNING
    log.log(level, "a round of canaries came back", extra={"seed": seed, **counted, "seconds": find_slowest(answers)})
