"""Lone chunks, one image each, of many jobs: claimed together, scanned like one chunk and stored together."""

import logging
import time
import uuid
from collections import Counter
from collections.abc import Hashable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from sqlalchemy import Engine

from starlight_vocabulary.words import Outcome
from storage.chunks import Claim, finish_chunk, lose_chunk, make_claimant, release_chunks
from storage.database import wait_out_outages
from storage.lone_chunks import Finished, claim_lone_chunks, finish_lone_chunks, take_lone_chunks
from storage.settings import Settings
from worker.claim_scanner import ClaimScanner
from worker.leases import Leases
from worker.scanning.metrics import Stage, WorkerMetrics

# How often one task scans waiting chunks after those of its message; then other messages get their turn.
MORE_SCANS = 16

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoneScan:
    """The claimed chunks, the outcomes of those that were not put off, and whether other lone chunks wait."""

    claimed: set[uuid.UUID]
    outcomes: Counter[Outcome]
    others_wait: bool


class LoneChunks:
    """Scans lone chunks for one worker process. Thread-safe."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        name: str,
        *,
        leases: Leases,
        scanner: ClaimScanner,
        metrics: WorkerMetrics,
    ) -> None:
        """Use these parts of the worker process."""
        self._engine = engine
        self._settings = settings
        self._name = name
        self._leases = leases
        self._scanner = scanner
        self._metrics = metrics

    def scan(self, chunk_ids: Sequence[uuid.UUID]) -> LoneScan:
        """Scan together those of the chunks that can be claimed.

        Raises what a scan raises. On MemoryError the chunks count as lost, on any other error they are given back.
        """
        claimant, lease_s = make_claimant(self._name), self._settings.lease_s
        claims = wait_out_outages(lambda: claim_lone_chunks(self._engine, chunk_ids, claimant, lease_s))
        return self._scan_claimed(claims)

    def scan_waiting(self, message_id: uuid.UUID) -> Counter[Outcome]:
        """Scan lone chunks that wait, up to `MORE_SCANS` times, within this message's task. Raises as `scan` does.

        They then need no message of their own, and share the fixed cost of a scan.
        """
        outcomes: Counter[Outcome] = Counter()
        for _ in range(MORE_SCANS):
            claimant, lease_s = make_claimant(self._name), self._settings.lease_s
            take = partial(take_lone_chunks, self._engine, message_id, claimant, lease_s)
            scanned = self._scan_claimed(wait_out_outages(take))
            outcomes += scanned.outcomes
            if not scanned.others_wait:
                break
        return outcomes

    def _scan_claimed(self, claims: Sequence[Claim]) -> LoneScan:
        outcomes: Counter[Outcome] = Counter()
        others_wait = False
        with ExitStack() as held:
            for claim in claims:
                held.enter_context(self._leases.keep(claim))
            try:
                for _, alike in groupby(sorted(claims, key=describe_scan), describe_scan):
                    found, finished = self._scan_alike(list(alike))
                    outcomes += found
                    others_wait = finished.others_wait
            except MemoryError:
                for claim in claims:
                    lose_chunk(self._engine, claim)
                raise
            except Exception:
                release_chunks(self._engine, claims)
                raise
        return LoneScan({claim.chunk_id for claim in claims}, outcomes, others_wait)

    def _scan_alike(self, claims: Sequence[Claim]) -> tuple[Counter[Outcome], Finished]:
        begun_at = time.monotonic()
        images = [(number, claim.refs[0]) for number, claim in enumerate(claims)]
        scanned = self._scanner.scan(claims[0], images, at_once=True)
        verdicts = scanned.verdicts
        settled = {verdict.ordinal for verdict in verdicts}
        with self._metrics.time_stage(Stage.WRITE):
            self._put_off([claim for number, claim in enumerate(claims) if number not in settled], scanned.put_off_s)
            finished = wait_out_outages(
                lambda: finish_lone_chunks(self._engine, [claims[each.ordinal] for each in verdicts], verdicts)
            )
        self._metrics.count_judged(finished.stored)
        outcomes = Counter(verdict.outcome for verdict in verdicts)
        counts = {"images": len(claims), **{outcome.value: outcomes[outcome] for outcome in Outcome}}
        counts["stored"] = finished.stored
        log.info("lone images are scanned", extra={**counts, "seconds": round(time.monotonic() - begun_at, 3)})
        return outcomes, finished

    def _put_off(self, claims: Sequence[Claim], put_off_s: float | None) -> None:
        for claim in claims:
            wait_out_outages(partial(finish_chunk, self._engine, claim, [], put_off_s))


def describe_scan(claim: Claim) -> tuple[Hashable, ...]:
    """Return the options that images must share to be scanned together."""
    return claim.submitter, claim.threshold or 0.0, claim.follow_links, claim.anew
