"""Scanning claimed images: with the newest model, within the time limit of a chunk, and with retries."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from storage.chunks import Claim
from storage.new_verdict import NewVerdict
from storage.settings import Settings
from worker.pipeline_switch import PipelineSwitch
from worker.retries import Retries
from worker.time_limit import limit_time


@dataclass(frozen=True, slots=True)
class Scanned:
    """The final verdicts; images without one are put off for `put_off_s` seconds, which is None if all have one."""

    verdicts: Sequence[NewVerdict]
    put_off_s: float | None


class ClaimScanner:
    """Scans images for one worker process. Thread-safe."""

    def __init__(self, settings: Settings, pipelines: PipelineSwitch, end_overdue: Callable[[Claim], None]) -> None:
        """`end_overdue` is called, in another thread, if a scan takes longer than `STARLIGHT_CHUNK_TIMEOUT_S`."""
        self._limit_s = settings.chunk_timeout_s
        self._retries = Retries(settings)
        self._pipelines = pipelines
        self._end_overdue = end_overdue

    def scan(
        self,
        claim: Claim,
        images: Sequence[tuple[int, str]],
        *,
        at_once: bool,
        given_up: "Future[None] | None" = None,
    ) -> Scanned:
        """Scan these ordinals and references with the options of the claim; the rest is as in `Pipeline.scan`."""
        with (
            limit_time(self._limit_s, partial(self._end_overdue, claim)),
            self._pipelines.use_newest() as pipeline,
        ):
            found = pipeline.scan(
                images,
                claim.threshold,
                claim.submitter,
                follow_links=claim.follow_links,
                anew=claim.anew,
                at_once=at_once,
                given_up=given_up,
            )
        return Scanned(*self._retries.decide(found, claim.tries))
