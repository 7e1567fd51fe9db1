"""Turns the references of a chunk into verdicts.

The stages, with the types of their results: load (`Loaded`), recall, decode (`Decoded`), submit (`Scoring`), judge.
An image leaves the pipeline as soon as its verdict is known.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, replace

from starlight_vocabulary.words import Outcome
from storage.new_verdict import NewVerdict
from storage.settings import Settings
from storage.traces import trace_until
from worker.scanning.batcher import Batcher, Scorer
from worker.scanning.budget import Budget
from worker.scanning.chunk_loading import ChunkLoader, Loaded
from worker.scanning.chunk_scan import ChunkScan, ImageFacts
from worker.scanning.content import SMALL_BYTES, Content
from worker.scanning.decoding_memory import GROUP
from worker.scanning.decoding_pool import open_decoding_pool
from worker.scanning.image_error import ImageError
from worker.scanning.messages import Found, MessageReader
from worker.scanning.metrics import ChunkMetrics, Stage, WorkerMetrics
from worker.v4.detector import Score
from worker.v4.planes import NUMBERS, PlaneArray

# The share of a chunk's time limit within which its images must be loaded; the others are put off.
LOADING_SHARE = 0.5
SIZE_NUMBERS = [NUMBERS.index("width"), NUMBERS.index("height")]

Recall = Callable[[Sequence[bytes], float | None, str], Mapping[bytes, NewVerdict]]


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image that was decoded, at least in part, its bytes, and its error if it is damaged."""

    facts: ImageFacts
    data: bytes
    damage: ImageError | None


@dataclass(frozen=True, slots=True)
class Scoring:
    """An image that was submitted to V4, and its bytes if they are kept until it is judged."""

    facts: ImageFacts
    damage: ImageError | None
    kept: Content | None


@dataclass(frozen=True, slots=True)
class ScoringGroup:
    """Images that were submitted to V4, and the future of their scores."""

    images: list[Scoring]
    scores: Future[list[Score | Exception]]

    def wait(self) -> None:
        """Wait until the scores are there; does not raise their exception."""
        self.scores.exception()

    def release(self) -> None:
        """Release the bytes that are kept."""
        for image in self.images:
            if image.kept is not None:
                image.kept.release()


class Pipeline:
    """Scans references for many chunks at once, each in its own thread; all share one batcher.

    Up to `decode_processes` processes decode for them. With `recall`, the same bytes are not scored twice: it returns
    this model's stored verdicts for SHA-256 digests, given a job's threshold and submitter.
    """

    def __init__(
        self,
        scorer: Scorer,
        model_id: int,
        settings: Settings,
        recall: Recall | None = None,
        metrics: WorkerMetrics | None = None,
    ) -> None:
        self._metrics = metrics or WorkerMetrics()
        self._model_id = model_id
        self._recall = recall
        self._loading = ChunkLoader(settings)
        self._loading_s = settings.chunk_timeout_s * LOADING_SHARE
        self._kept_bytes = Budget(settings.kept_images_bytes)
        group_bytes = max(GROUP * SMALL_BYTES, settings.max_image_bytes)
        self._decoding = open_decoding_pool(settings, settings.decode_processes, group_bytes)
        self._messages = MessageReader(self._decoding, self._loading, group_bytes)
        self._batcher = Batcher(scorer, settings.batch_size, settings.batch_wait_ms / 1000, self._metrics)

    def start(self) -> None:
        """Start the thread that scores."""
        self._batcher.start()

    def stop(self) -> None:
        """Stop the threads and processes; no scan may be running."""
        self._loading.stop()
        self._batcher.stop()
        self._decoding.stop()

    def scan(
        self,
        images: Iterable[tuple[int, str]],
        threshold: float | None = None,
        submitter: str = "",
        *,
        follow_links: bool = True,
        anew: bool = False,
        at_once: bool = False,
        given_up: "Future[None] | None" = None,
    ) -> list[NewVerdict]:
        """Return one verdict for each ordinal and reference, in order; an image that fails gets an `error` verdict.

        Without a threshold, the model's own is used. `submitter` is the submitter of the job. Without `follow_links`,
        files behind links are not read. With `anew`, no stored verdict is recalled; with `at_once`, the images overtake
        other chunks before each stage. Raises GivenUpError soon after `given_up` is done, which means that the verdicts
        are no longer wanted.
        """
        chunk = ChunkScan(
            images, threshold, submitter, follow_links=follow_links, anew=anew, loading_s=self._loading_s,
            given_up=given_up, at_once=at_once,
        )  # fmt: skip
        with self._metrics.watch_chunk() as metrics:
            self._scan(chunk, metrics)
        return chunk.list_verdicts()

    def _scan(self, chunk: ChunkScan, metrics: ChunkMetrics) -> None:
        scoring: list[ScoringGroup] = []
        held = 0
        try:
            with closing(self._loading.load(chunk)) as groups:
                while True:
                    with metrics.time_stage(Stage.LOAD):
                        loaded = next(groups, None)
                    if loaded is None:
                        break
                    self._metrics.hold(len(loaded))
                    held += len(loaded)
                    unknown = self._recall_known(loaded, chunk)
                    with metrics.time_stage(Stage.DECODE):
                        decoded, planes = self._decode(unknown, chunk)
                    with metrics.time_stage(Stage.WAIT):
                        scoring.append(self._submit(decoded, planes, chunk))
                    trace_until(scoring[-1].scores, Stage.SCORE.value, images=len(decoded))
            for group in scoring:
                with metrics.time_stage(Stage.WAIT):
                    group.wait()
                self._judge(group, chunk)
        finally:
            self._metrics.hold(-held)
            for group in scoring:
                group.release()

    def _recall_known(self, loaded: Sequence[Loaded], chunk: ChunkScan) -> list[Loaded]:
        """Return the images that V4 must score; the others have a stored verdict, or repeat an image of the chunk."""
        if self._recall is None:
            return list(loaded)
        new = [image for image in loaded if not chunk.repeats_earlier(image.facts)]
        digests = [image.facts.digest for image in new]
        recalled = self._recall(digests, chunk.threshold, chunk.submitter) if new and not chunk.anew else {}
        unknown = []
        for image in new:
            if stored := recalled.get(image.facts.digest):
                chunk.settle(replace(stored, ordinal=image.facts.ordinal, uri=image.facts.uri, reused=True))
            else:
                unknown.append(image)
        return unknown

    def _decode(self, loaded: Sequence[Loaded], chunk: ChunkScan) -> tuple[list[Decoded], PlaneArray]:
        """Return the images that can be decoded, at least in part, and their planes."""
        found = self._decoding.decode([image.content.data for image in loaded], at_once=chunk.at_once)
        decoded = []
        sizes = found.planes["numbers"][:, SIZE_NUMBERS].tolist()
        for image, has_planes, (width, height), kind, error in zip(
            loaded, found.has_planes, sizes, found.formats, found.errors, strict=True
        ):
            if has_planes:
                facts = image.facts.with_picture(width, height, kind)
                decoded.append(Decoded(facts, image.content.data, error))
            else:
                assert error is not None, "an image without planes has an error"
                chunk.settle_error(image.facts, error)
        return decoded, found.planes if len(decoded) == len(loaded) else found.planes[found.has_planes]

    def _submit(self, decoded: Sequence[Decoded], planes: PlaneArray, chunk: ChunkScan) -> ScoringGroup:
        scores = self._batcher.submit(planes, chunk.threshold, at_once=chunk.at_once)
        return ScoringGroup([Scoring(image.facts, image.damage, self._keep(image.data)) for image in decoded], scores)

    def _keep(self, data: bytes) -> Content | None:
        reservation = self._kept_bytes.reserve_if_free(len(data))
        return Content(data, reservation) if reservation else None

    def _judge(self, group: ScoringGroup, chunk: ChunkScan) -> None:
        """Settle the images that V4 has scored."""
        found = []
        for image, score in zip(group.images, group.scores.result(), strict=True):
            if isinstance(score, MemoryError):
                # Not the fault of this image alone.
                raise score
            if isinstance(score, Exception):
                chunk.settle_failure(image.facts, score, self._model_id)
            elif image.damage and not score.is_stego:
                chunk.settle_error(image.facts, image.damage)
            else:
                chunk.settle(self._make_verdict(image, score))
                if score.method:
                    found.append(Found(image.facts, score.method, score.bit_order, image.kept))
        for facts, payload in self._messages.read(found, chunk):
            chunk.add_payload(facts, payload)
        group.release()

    def _make_verdict(self, image: Scoring, score: Score) -> NewVerdict:
        return image.facts.make_verdict(
            Outcome.STEGO if score.is_stego else Outcome.CLEAN,
            model_id=self._model_id,
            stego_probability=score.stego_probability,
            method=score.method,
            bit_order=score.bit_order,
            error_detail=f"the image is damaged: {image.damage.detail}" if image.damage else None,
        )
