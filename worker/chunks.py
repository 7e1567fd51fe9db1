"""Chunks of many images: each claimed, scanned and stored by itself."""

import logging
import time
import uuid
from collections import Counter
from concurrent.futures import Future

from sqlalchemy import Engine
from structlog.contextvars import bound_contextvars

from starlight_vocabulary.words import Outcome, Priority
from storage.chunks import Claim, claim_chunk, finish_chunk, lose_chunk, make_claimant, release_chunks
from storage.database import wait_out_outages
from storage.settings import Settings
from storage.traces import describe_span, trace
from storage.unclaimed_chunks import find_waiting_chunk, is_ahead, leave_held_chunk, postpone_chunk
from worker.claim_scanner import ClaimScanner
from worker.gate import Gate
from worker.leases import Leases
from worker.scanning.chunk_scan import GivenUpError
from worker.scanning.metrics import Stage, WorkerMetrics
from worker.slots import Slots

NOTHING_TO_DO = "nothing to do: the chunk was claimed elsewhere, has ended or was replaced"
HELD_BACK = "left for later: the chunk is paused, or this worker drains"
LEFT_TO_OTHERS = "left for later: another submitter's chunk goes first"
NOTHING_STORED = "nothing stored: already stored, claimed by another worker meanwhile, or the job was cancelled"
# How long a chunk is postponed to let other submitters' chunks go first.
POSTPONED_S = 1.0

log = logging.getLogger(__name__)


class Chunks:
    """Scans chunks for one worker process, except lone ones that came together. Thread-safe."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        name: str,
        device: str,
        *,
        gate: Gate,
        leases: Leases,
        scanner: ClaimScanner,
        metrics: WorkerMetrics,
    ) -> None:
        """Use these parts of the worker process."""
        self._engine = engine
        self._settings = settings
        self._name = name
        self._device = device
        self._gate = gate
        self._slots = Slots(settings.chunks_in_flight)
        self._leases = leases
        self._scanner = scanner
        self._metrics = metrics

    def scan(self, chunk_id: uuid.UUID) -> str:
        """Scan the chunk if it can be claimed; return a summary of the result.

        Raises what a scan raises. On MemoryError the chunk counts as lost, on any other error it is given back.
        """
        waiting = wait_out_outages(lambda: find_waiting_chunk(self._engine, chunk_id, self._name))
        if waiting is None:
            log.info(NOTHING_TO_DO)
            return NOTHING_TO_DO
        if waiting.is_held:
            return self._leave_held(chunk_id)
        submitter, priority = waiting.submitter, waiting.priority

        def must_give_way() -> bool:
            return wait_out_outages(lambda: is_ahead(self._engine, submitter, priority))

        with self._slots.take(submitter, must_give_way) as taken:
            if not taken:
                wait_out_outages(lambda: postpone_chunk(self._engine, chunk_id, POSTPONED_S))
                return LEFT_TO_OTHERS
            # A chunk that was lost before may be the one that kills workers, so it runs alone. It is claimed only after
            # it has passed the gate: a suspect that waits has no lease, and is not lost if the running one ends the
            # process.
            with self._gate.enter(alone=waiting.losses > 0):
                return self._claim_and_scan(chunk_id, waiting.losses)

    def _leave_held(self, chunk_id: uuid.UUID) -> str:
        wait_out_outages(lambda: leave_held_chunk(self._engine, chunk_id, self._name))
        return HELD_BACK

    def _claim_and_scan(self, chunk_id: uuid.UUID, losses: int) -> str:
        claimant = make_claimant(self._name)
        lease_s = self._settings.lease_s
        begun_ns = time.time_ns()
        claim = wait_out_outages(lambda: claim_chunk(self._engine, chunk_id, claimant, lease_s, losses=losses))
        if claim is None:
            log.info(NOTHING_TO_DO)
            # If it was held back while it waited for its turn, its message is already consumed.
            self._leave_held(chunk_id)
            return NOTHING_TO_DO
        with (
            bound_contextvars(job=str(claim.job_id)),
            trace(
                "scan",
                parent=claim.traceparent,
                kind="consumer",
                begun_ns=begun_ns,
                job=claim.job_id,
                chunk=claim.chunk_id,
                attempt=claim.attempt,
                device=self._device,
            ),
            self._leases.keep(claim) as lost,
        ):
            return self._scan_claimed(claim, lost)

    def _scan_claimed(self, claim: Claim, lost: "Future[None]") -> str:
        begun_at = time.monotonic()
        try:
            at_once = claim.priority is Priority.INTERACTIVE
            scanned = self._scanner.scan(claim, claim.images, at_once=at_once, given_up=lost)
            verdicts, put_off_s = scanned.verdicts, scanned.put_off_s
            with self._metrics.time_stage(Stage.WRITE), trace(Stage.WRITE.value):
                stored = wait_out_outages(lambda: finish_chunk(self._engine, claim, verdicts, put_off_s))
        except GivenUpError:
            log.info(NOTHING_STORED)
            return NOTHING_STORED
        except MemoryError:
            lose_chunk(self._engine, claim)
            raise
        except Exception:
            release_chunks(self._engine, [claim])
            raise
        if not stored:
            log.info(NOTHING_STORED)
            return NOTHING_STORED
        self._metrics.count_judged(len(verdicts))
        outcomes = Counter(verdict.outcome for verdict in verdicts)
        left = len(claim.images) - len(verdicts)
        counts = {"images": len(verdicts), **{outcome.value: outcomes[outcome] for outcome in Outcome}, "put_off": left}
        log.info("a chunk is scanned", extra={**counts, "seconds": round(time.monotonic() - begun_at, 3)})
        describe_span(**counts)
        result = summarise(outcomes)
        return f"{result}; {left} put off for {put_off_s:.0f} s" if left else result


def summarise(outcomes: Counter[Outcome]) -> str:
    """Return readable counts: `64 images: 3 stego, 1 error`."""
    images = outcomes.total()
    counted = [f"{outcomes[each]} {each}" for each in (Outcome.STEGO, Outcome.ERROR) if outcomes[each]]
    return f"{images} image{'' if images == 1 else 's'}: {', '.join(counted) or 'all clean'}"
