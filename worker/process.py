"""One worker process: its device, its model, its chunks."""

import logging
import os
import secrets
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sqlalchemy import Engine

from storage.chunks import Claim, abandon_chunk, claim_chunk, count_losses, finish_chunk, release_chunks
from storage.database import patiently
from storage.models import register_model
from storage.reuse import recall_verdicts
from storage.schema import OUTCOMES
from storage.settings import Settings
from storage.verdicts import NewVerdict
from storage.workers import remove_worker, report_worker
from worker.gate import Gate
from worker.leases import Leases
from worker.pipeline_switch import Scanners
from worker.retries import Retries
from worker.scanning.pipeline import Scanner
from worker.time_limit import time_limit
from worker.v4.detector import Detector

NOTHING_TO_DO = "nothing to do: claimed elsewhere, ended or replaced"

log = logging.getLogger(__name__)


def end_now() -> None:
    """End the process without waiting for its threads; whoever watches it starts it again."""
    os._exit(os.EX_SOFTWARE)


class WorkerProcess:
    """Claims chunks, scans them and stores their verdicts; called by many task threads at once."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        *,
        name: str,
        device: str,
        detector: Detector,
        end: Callable[[], None] = end_now,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._name = name
        self._device = device
        self._lease_s = settings.lease_s
        self._chunk_timeout_s = settings.chunk_timeout_s
        self._end = end
        self._model_id = self._registered(detector)
        self._scanners = Scanners(self._scanner(detector, self._model_id))
        self._retries = Retries(settings)
        self._gate = Gate()
        patiently(self.report)
        self._leases = Leases(engine, settings.lease_s, self.report)

    def report(self) -> None:
        """Say in the database that this worker lives."""
        report_worker(self._engine, self._name, self._device, self._model_id)

    def replace(self, detector: Detector) -> None:
        """Scan with this detector from now on; chunks that are being scanned finish with the one they began with."""
        model_id = self._registered(detector)
        self._scanners.replace(self._scanner(detector, model_id))
        self._model_id = model_id
        log.info("model %s from now on", detector.model.label)
        patiently(self.report)

    def _scanner(self, detector: Detector, model_id: int) -> Scanner:
        def recall(digests: Sequence[bytes], threshold: float | None) -> Mapping[bytes, NewVerdict]:
            return patiently(lambda: recall_verdicts(self._engine, model_id, digests, threshold))

        return Scanner(detector, model_id, self._settings, recall if self._settings.reuse else None)

    def _registered(self, detector: Detector) -> int:
        model = detector.model
        return patiently(
            lambda: register_model(
                self._engine, name=model.name, version=model.version, sha256=model.sha256, threshold=model.threshold
            )
        )

    def scan_chunk(self, chunk_id: uuid.UUID) -> str:
        """Scan the chunk if it is to be had, and return in words what became of it.

        Whatever goes wrong after the claim counts as a loss of the chunk, which runs again at once.
        """
        losses = patiently(lambda: count_losses(self._engine, chunk_id))
        if losses is None:
            return NOTHING_TO_DO
        # A chunk that was lost before may be the one that kills workers: it must not take others with it. And it is
        # claimed behind the gate, or the suspects that wait there would count as lost with the one inside.
        with self._gate.passing(alone=losses > 0):
            # A claimant of its own for each claim: one that is made again, because the answer to the first was lost,
            # gets the chunk, and a second message for the same chunk does not.
            claimant = f"{self._name} {secrets.token_hex(4)}"
            claim = patiently(lambda: claim_chunk(self._engine, chunk_id, claimant, self._lease_s, losses=losses))
            return NOTHING_TO_DO if claim is None else self._scan(claim)

    def _scan(self, claim: Claim) -> str:
        try:
            with self._leases.kept(claim):
                with (
                    time_limit(self._chunk_timeout_s, partial(self._end_overdue, claim)),
                    self._scanners.newest() as scanner,
                ):
                    scanned = scanner.scan(claim.images, claim.threshold)
                verdicts, put_off_s = self._retries.decide(scanned, claim.tries)
                # Waiting for the database is no fault of the chunk's: giving up here would count as a loss.
                stored = patiently(lambda: finish_chunk(self._engine, claim, verdicts, put_off_s))
        except Exception:
            log.exception("chunk %s failed in attempt %d", claim.chunk_id, claim.attempt)
            abandon_chunk(self._engine, claim)
            raise
        if not stored:
            return "nothing stored: it was before, another worker had the chunk by then, or the job was cancelled"
        result = summary(Counter(verdict.outcome for verdict in verdicts))
        left = len(scanned) - len(verdicts)
        return f"{result}; {left} put off for {put_off_s:.0f} s" if left else result

    def _end_overdue(self, claim: Claim) -> None:
        # A thread that hangs in a read or a decoder cannot be ended alone. The process ends, the leases of its chunks
        # run out, and the culprit is found as one that kills its worker is.
        log.critical("chunk %s takes longer than %.0f s; this process ends", claim.chunk_id, self._chunk_timeout_s)
        self._end()

    def give_back(self) -> None:
        """Give back the chunks that are being scanned; what their threads still do with them is stored nowhere."""
        release_chunks(self._engine, self._leases.held())

    def close(self) -> None:
        """Leave: end the threads and the entry among the live workers."""
        self._leases.close()
        self._scanners.close()
        remove_worker(self._engine, self._name)


def summary(outcomes: Counter[str]) -> str:
    """Return counts for people: `64 images: 3 stego, 1 error`."""
    images = outcomes.total()
    counted = [f"{outcomes[outcome]} {outcome}" for outcome in OUTCOMES[1:] if outcomes[outcome]]
    return f"{images} image{'' if images == 1 else 's'}: {', '.join(counted) or 'all clean'}"
