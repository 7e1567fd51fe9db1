"""Listing the sources of jobs that API keys submitted, one at a time, each in a separate process."""

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from producer.dispatching.leased_process import run_leased
from producer.leased_work import LATER, UNWANTED
from producer.listing_jobs import ATTEMPTS, PAUSE_S, name_source
from storage.background import BackgroundThread
from storage.database import wait_out_outages, work_in_rounds
from storage.listings import (
    ListingLostError,
    claim_listing,
    fail_listing,
    release_listing,
    renew_listing,
)

LOOK_EVERY_S = 1.0

log = logging.getLogger(__name__)


class ListingRunner(BackgroundThread):
    """Runs listings in turns. Several dispatchers may do so concurrently."""

    def __init__(self, engine: Engine, environment: Mapping[str, str]) -> None:
        """`environment` has the variables with the addresses of the servers, for the started processes."""
        super().__init__("listings")
        self._engine = engine
        self._environment = {**os.environ, **environment}

    def run(self) -> None:
        """Run listings until stopped; wait while the database is not available."""
        work_in_rounds(lambda: 0 if self.list_next() else LOOK_EVERY_S, self.stopping)

    def list_next(self) -> bool:
        """Run a turn of the listing that has waited longest; return whether there was one."""
        listing = claim_listing(self._engine)
        if listing is None:
            return False
        if listing.attempts > ATTEMPTS:
            reason = f"its process crashed {ATTEMPTS} times: see the log"
            with suppress(ListingLostError):
                fail_listing(self._engine, listing, name_source(listing), reason)
            return True
        ended = run_leased(
            "producer.listing_jobs",
            listing.job_id,
            listing.holder,
            environment=self._environment,
            renew=partial(renew_listing, self._engine, listing),
            stopping=self.stopping,
        )
        if ended is None or ended.code in (0, UNWANTED):
            return True
        if ended.code is None:
            with suppress(DBAPIError):
                release_listing(self._engine, listing)
            return True
        if ended.code != LATER:
            context = {"job": listing.job_id}
            log.warning("the process of a listing ended with status %d; it is retried", ended.code, extra=context)
        counts = ended.code != LATER
        wait_out_outages(partial(release_listing, self._engine, listing, PAUSE_S, counts=counts))
        return True
