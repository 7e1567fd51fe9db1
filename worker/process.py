"""One worker process: its device, its model, its chunks."""

import logging
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from structlog.contextvars import bound_contextvars

from starlight_vocabulary.words import Outcome, Priority
from storage.chunks import Claim, claim_chunk, finish_chunk, lose_chunk, make_claimant, release_chunks
from storage.database import wait_out_outages
from storage.models import register_model
from storage.new_verdict import NewVerdict
from storage.reuse import recall_verdicts
from storage.settings import CANARY_SUBMITTER, Settings
from storage.traces import describe_span, trace
from storage.unclaimed_chunks import find_waiting_chunk, is_ahead, leave_held_chunk, postpone_chunk
from storage.workers import remove_worker, report_worker
from worker.gate import Gate
from worker.interactive_chunks import BusyThreads, InteractiveThread
from worker.leases import Leases
from worker.lone_chunks import LoneChunks, LoneScan
from worker.orders import Orders
from worker.pipeline_switch import PipelineSwitch
from worker.retries import Retries
from worker.scanning.chunk_scan import GivenUpError
from worker.scanning.measures import Measures, Stage
from worker.scanning.pipeline import Pipeline
from worker.slots import SPARE_THREADS, Slots
from worker.time_limit import limit_time
from worker.v4.detector import Detector

NOTHING_TO_DO = "nothing to do: the chunk was claimed elsewhere, has ended or was replaced"
HELD_BACK = "left for later: the chunk is paused, or this worker drains"
LEFT_TO_OTHERS = "left for later: another submitter's chunk goes first"
NOTHING_STORED = "nothing stored: already stored, claimed by another worker meanwhile, or the job was cancelled"
# How long a chunk is postponed to let other submitters' chunks go first.
POSTPONED_S = 1.0

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
        measures: Measures | None = None,
        consume: Callable[[bool], None] = lambda wanted: None,
    ) -> None:
        """Use these connections; `end` ends the process, `consume` turns its consumption of messages on and off."""
        self._measures = measures or Measures(device)
        self._engine = engine
        self._settings = settings
        self._name = name
        self._device = device
        self._end = end
        self._model_id = self._register(detector)
        self._pipelines = PipelineSwitch(self._build_pipeline(detector, self._model_id))
        self._retries = Retries(settings)
        self._gate = Gate()
        self._slots = Slots(settings.chunks_in_flight)
        self._leases = Leases(engine, settings.lease_s, self.report)
        self._busy = BusyThreads(settings.chunks_in_flight + SPARE_THREADS)
        self._interactive = InteractiveThread(engine, self._busy, self._scan_lone_chunks)
        self._orders = Orders(engine, name, self._leases, consume, self._interactive.wake)
        self._lone = LoneChunks(
            engine, settings, name, leases=self._leases, pipelines=self._pipelines, retries=self._retries,
            measures=self._measures, end_overdue=self._end_overdue,
        )  # fmt: skip

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

        return Pipeline(detector, model_id, self._settings, recall if self._settings.reuse else None, self._measures)

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
            return self._do_or_leave(lambda: self._claim_and_scan(chunk_id))

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
            return self._lone.scan(chunk_ids)

    def _scan_waiting(self, message_id: uuid.UUID) -> Counter[Outcome]:
        with self._gate.enter(alone=False):
            return self._lone.scan_waiting(message_id)

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

    def _claim_and_scan(self, chunk_id: uuid.UUID) -> str:
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
                return self._claim_and_scan_now(chunk_id, waiting.losses)

    def _leave_held(self, chunk_id: uuid.UUID) -> str:
        wait_out_outages(lambda: leave_held_chunk(self._engine, chunk_id, self._name))
        return HELD_BACK

    def _claim_and_scan_now(self, chunk_id: uuid.UUID, losses: int) -> str:
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
            return self._scan(claim, lost)

    def _scan(self, claim: Claim, lost: "Future[None]") -> str:
        begun_at = time.monotonic()
        try:
            with (
                limit_time(self._settings.chunk_timeout_s, partial(self._end_overdue, claim)),
                self._pipelines.use_newest() as pipeline,
            ):
                scanned = pipeline.scan(
                    claim.images,
                    claim.threshold,
                    claim.submitter,
                    follow_links=claim.follow_links,
                    anew=claim.anew,
                    at_once=claim.priority is Priority.INTERACTIVE,
                    given_up=lost,
                )
            verdicts, put_off_s = self._retries.decide(scanned, claim.tries)
            with self._measures.time_stage(Stage.WRITE), trace(Stage.WRITE.value):
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
        self._measures.count_judged(len(verdicts))
        outcomes = Counter(verdict.outcome for verdict in verdicts)
        left = len(scanned) - len(verdicts)
        counts = {"images": len(verdicts), **{outcome.value: outcomes[outcome] for outcome in Outcome}, "put_off": left}
        log.info("a chunk is scanned", extra={**counts, "seconds": round(time.monotonic() - begun_at, 3)})
        describe_span(**counts)
        result = summarise(outcomes)
        return f"{result}; {left} put off for {put_off_s:.0f} s" if left else result

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


def summarise(outcomes: Counter[Outcome]) -> str:
    """Return readable counts: `64 images: 3 stego, 1 error`."""
    images = outcomes.total()
    counted = [f"{outcomes[each]} {each}" for each in (Outcome.STEGO, Outcome.ERROR) if outcomes[each]]
    return f"{images} image{'' if images == 1 else 's'}: {', '.join(counted) or 'all clean'}"
