"""One worker process: its device, its model, its chunks."""

import logging
import os
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from structlog.contextvars import bound_contextvars

from starlight_vocabulary.words import Outcome
from storage.chunks import Claim, release_chunks
from storage.database import wait_out_outages
from storage.models import register_model
from storage.new_verdict import NewVerdict
from storage.reuse import recall_verdicts
from storage.settings import CANARY_SUBMITTER, Settings
from storage.workers import remove_worker, report_worker
from worker.chunks import Chunks, summarise
from worker.claim_scanner import ClaimScanner
from worker.gate import Gate
from worker.interactive_chunks import BusyThreads, InteractiveThread
from worker.leases import Leases
from worker.lone_chunks import LoneChunks, LoneScan
from worker.orders import Orders
from worker.pipeline_switch import PipelineSwitch
from worker.scanning.metrics import WorkerMetrics
from worker.scanning.pipeline import Pipeline
from worker.slots import SPARE_THREADS
from worker.v4.detector import Detector

log = logging.getLogger(__name__)

Result = TypeVar("Result")


def end_now() -> None:
    """End the process without waiting for its threads; its supervisor restarts it."""
    os._exit(os.EX_SOFTWARE)


class WorkerProcess:
    """Claims chunks, scans them and stores their verdicts. Thread-safe."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        *,
        name: str,
        device: str,
        detector: Detector,
        end: Callable[[], None] = end_now,
        metrics: WorkerMetrics | None = None,
        consume: Callable[[bool], None] = lambda wanted: None,
    ) -> None:
        """Use these connections; `end` ends the process, `consume` turns its consumption of messages on and off."""
        self._metrics = metrics or WorkerMetrics(device)
        self._engine = engine
        self._settings = settings
        self._name = name
        self._device = device
        self._end = end
        self._model_id = self._register(detector)
        self._pipelines = PipelineSwitch(self._build_pipeline(detector, self._model_id))
        self._gate = Gate()
        self._leases = Leases(engine, settings.lease_s, self.report)
        self._busy = BusyThreads(settings.chunks_in_flight + SPARE_THREADS)
        self._interactive = InteractiveThread(engine, self._busy, self._scan_lone_chunks)
        self._orders = Orders(engine, name, self._leases, consume, self._interactive.wake)
        scanner = ClaimScanner(settings, self._pipelines, self._end_overdue)
        self._chunks = Chunks(
            engine, settings, name, device, gate=self._gate, leases=self._leases, scanner=scanner,
            metrics=self._metrics,
        )  # fmt: skip
        self._lone_chunks = LoneChunks(
            engine, settings, name, leases=self._leases, scanner=scanner, metrics=self._metrics
        )

    def start(self) -> None:
        """Register among the live workers, and start the threads."""
        wait_out_outages(self.report)
        self._pipelines.start()
        self._leases.start()
        self._interactive.start()
        self._orders.start()

    def stop(self) -> None:
        """Stop the threads and remove the entry among the live workers; no chunk may be running."""
        self._orders.stop()
        self._interactive.stop()
        self._leases.stop()
        self._pipelines.stop()
        remove_worker(self._engine, self._name)

    def report(self) -> None:
        """Store in the database that this worker is alive."""
        report_worker(self._engine, self._name, self._device, self._model_id)

    def replace_model(self, detector: Detector) -> None:
        """Scan with this detector from now on; running chunks finish with the one they started with."""
        model_id = self._register(detector)
        self._pipelines.replace(self._build_pipeline(detector, model_id))
        self._model_id = model_id
        log.info("this worker now uses the model %s", detector.model.label)
        wait_out_outages(self.report)

    def _build_pipeline(self, detector: Detector, model_id: int) -> Pipeline:
        def recall(digests: Sequence[bytes], threshold: float | None, submitter: str) -> Mapping[bytes, NewVerdict]:
            across = self._settings.reuse_across_submitters and submitter != CANARY_SUBMITTER
            whose = None if across else submitter
            return wait_out_outages(
                lambda: recall_verdicts(
                    self._engine, model_id, digests, threshold, whose, within=self._settings.reuse_within,
                    max_message_bytes=self._settings.max_message_bytes,
                )
            )  # fmt: skip

        return Pipeline(detector, model_id, self._settings, recall if self._settings.reuse else None, self._metrics)

    def _register(self, detector: Detector) -> int:
        model = detector.model
        return wait_out_outages(
            lambda: register_model(
                self._engine, name=model.name, version=model.version, sha256=model.sha256, threshold=model.threshold
            )
        )

    def scan_chunk(self, chunk_id: uuid.UUID) -> str:
        """Scan the chunk if it can be claimed; return a summary of the result.

        An exception here is a fault of the schema, the configuration or this code, never of an image: all running
        chunks are given back, and the process ends. A chunk that takes more memory than there is counts as lost.
        """
        with self._busy.count():
            return self._scan_chunk(chunk_id)

    def scan_lone_chunks(self, chunk_ids: Sequence[uuid.UUID]) -> str:
        """Scan the lone chunks among these together, and the others one by one; return a summary of the result.

        `chunk_ids[0]` is the id of their message. Errors are handled as in `scan_chunk`.
        """
        with self._busy.count():
            return self._scan_lone_chunks(chunk_ids, chunk_ids[0])

    def _scan_chunk(self, chunk_id: uuid.UUID) -> str:
        with bound_contextvars(chunk=str(chunk_id)):
            return self._do_or_leave(lambda: self._chunks.scan(chunk_id))

    def _scan_lone_chunks(self, chunk_ids: Sequence[uuid.UUID], message_id: uuid.UUID) -> str:
        scanned = self._do_or_leave(lambda: self._scan_together(chunk_ids))
        others = [self._scan_chunk(chunk_id) for chunk_id in chunk_ids if chunk_id not in scanned.claimed]
        summaries = [summarise(scanned.outcomes)] if scanned.outcomes else []
        if put_off := len(scanned.claimed) - scanned.outcomes.total():
            summaries.append(f"{put_off} put off")
        if scanned.others_wait and (more := self._do_or_leave(lambda: self._scan_waiting(message_id))):
            summaries.append(f"of those that waited, {summarise(more)}")
        return "; ".join([*summaries, *others])

    def _scan_together(self, chunk_ids: Sequence[uuid.UUID]) -> LoneScan:
        with self._gate.enter(alone=False):
            return self._lone_chunks.scan(chunk_ids)

    def _scan_waiting(self, message_id: uuid.UUID) -> Counter[Outcome]:
        with self._gate.enter(alone=False):
            return self._lone_chunks.scan_waiting(message_id)

    def _do_or_leave(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except MemoryError:
            log.critical("out of memory: all other chunks are given back, and this process ends", exc_info=True)
            self._leave()
            raise
        except DBAPIError as error:
            # Only the first line: the others quote the row, which contains extracted messages.
            reason = str(error.orig).partition("\n")[0]
            log.critical("database error: all chunks are given back, and this process ends: %s", reason)
            self._leave()
            raise
        except Exception:
            log.critical("unexpected error: all chunks are given back, and this process ends", exc_info=True)
            self._leave()
            raise

    def _leave(self) -> None:
        try:
            self.give_back()
        finally:
            self._end()

    def _end_overdue(self, claim: Claim) -> None:
        # A thread that hangs in a read or a decoder cannot be ended alone. The process ends, the leases of its chunks
        # run out, and the culprit is found in the same way as a chunk that kills its worker.
        limit_s = self._settings.chunk_timeout_s
        ids = {"job": claim.job_id, "chunk": claim.chunk_id}
        log.critical("a chunk takes longer than %.0f s; this process ends", limit_s, extra=ids)
        self._end()

    def give_back(self) -> None:
        """Give back the running chunks; what their threads still produce is not stored."""
        release_chunks(self._engine, self._leases.list_held())
