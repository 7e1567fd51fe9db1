"""From the references of a chunk to its verdicts.

Each image goes through the stages in this order, in the shape that stands behind it, and leaves where its verdict is
known: load (`Loaded`), recall, decode (`Decoded`), submit to V4 (`Scoring`), judge.
"""

import hashlib
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

from starlight_vocabulary.words import Outcome
from storage.blobs import Blobs
from storage.new_verdict import NewVerdict
from storage.settings import Settings
from worker.scanning.batcher import Batcher, Scorer
from worker.scanning.budget import Budget
from worker.scanning.chunk_scan import ChunkScan, ImageFacts, make_storable
from worker.scanning.content import Content, ContentReader, LargeImageError
from worker.scanning.decoding import Decoder
from worker.scanning.fetching import Fetcher
from worker.scanning.image_error import ImageError
from worker.scanning.loading import Loader
from worker.scanning.turns import Turns
from worker.v4.detector import Score
from worker.v4.extraction import extract_message
from worker.v4.planes import Planes, extract_planes

# Small images of one chunk that are held at once: 64 MB at most.
GROUP = 64

log = logging.getLogger(__name__)

Recall = Callable[[Sequence[bytes], float | None, str], Mapping[bytes, NewVerdict]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """An image with its bytes."""

    facts: ImageFacts
    content: Content


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image with what V4 sees of it."""

    facts: ImageFacts
    planes: Planes
    data: bytes


@dataclass(frozen=True, slots=True)
class Scoring:
    """An image that V4 has, its score to come, and its bytes where they are kept until it is judged."""

    facts: ImageFacts
    score: Future[Score]
    kept: Content | None

    def release(self) -> None:
        """Say that the bytes are not held any more."""
        if self.kept is not None:
            self.kept.release()


class Pipeline:
    """Scans references for many chunks at once, each in its own thread; all share one batcher.

    At most `decode_threads` of these threads decode at a time. With `recall`, no bytes are scored twice: it returns the
    stored verdicts of this model, by a job's threshold and for its submitter, on bytes of given SHA-256s.
    """

    def __init__(self, scorer: Scorer, model_id: int, settings: Settings, recall: Recall | None = None) -> None:
        self._model_id = model_id
        self._recall = recall
        self._max_message_bytes = settings.max_message_bytes
        self._fetcher = Fetcher(settings)
        self._loader = Loader(Blobs(settings.blobs()), self._fetcher)
        self._small_reader = ContentReader(settings.max_image_bytes, None)
        self._reader = ContentReader(settings.max_image_bytes, Budget(settings.large_images_bytes))
        self._kept_bytes = Budget(settings.kept_images_bytes)
        self._decoder = Decoder(settings.max_image_pixels, Budget(settings.decode_budget_bytes))
        self._decoding = Turns(settings.decode_threads)
        self._fetching = ThreadPoolExecutor(settings.fetch_threads, thread_name_prefix="fetch")
        self._batcher = Batcher(scorer, settings.batch_size, settings.batch_wait_ms / 1000)

    def start(self) -> None:
        """Start the thread that scores."""
        self._batcher.start()

    def stop(self) -> None:
        """End the threads; no scan may be running."""
        self._fetching.shutdown()
        self._fetcher.close()
        self._batcher.stop()

    def scan(
        self, images: Iterable[tuple[int, str]], threshold: float | None = None, submitter: str = ""
    ) -> list[NewVerdict]:
        """Return one verdict for each ordinal and reference, in order; what fails becomes an `error` verdict.

        Without a threshold, the model's own decides what counts as stego. `submitter` is whose job it is.
        """
        chunk = ChunkScan(images, threshold, submitter)
        scoring: list[Scoring] = []
        try:
            with closing(self._load(chunk)) as groups:
                for loaded in groups:
                    unknown = self._recall_known(loaded, chunk)
                    decoded = self._decode(unknown, chunk)
                    scoring += self._submit(decoded, chunk)
            self._judge(scoring, chunk)
        finally:
            for image in scoring:
                image.release()
        return chunk.list_verdicts()

    def _load(self, chunk: ChunkScan) -> Generator[list[Loaded], None, None]:
        """Yield the images that can be loaded, in groups that may be held at once: small ones, or one large one.

        A large image holds bytes that others wait for: each is passed on before anything else is waited for. They are
        given back when the next group is asked for, or the scan ends, however it does.
        """
        for start in range(0, len(chunk.images), GROUP):
            group = chunk.images[start : start + GROUP]
            remote = [image for image in group if not image.uri.startswith("file:")]
            fetched = {self._fetching.submit(self._load_image, image, self._reader): image for image in remote}
            try:
                files = [image for image in group if image.uri.startswith("file:")]
                small, large = self._load_small_files(files, chunk)
                for future in as_completed(fetched):
                    loaded = chunk.attempt(fetched[future], future.result)
                    if loaded and loaded.content.is_large:
                        yield from hand_out(loaded)
                    elif loaded:
                        small.append(loaded)
                for image in large:
                    if loaded := chunk.attempt(image, partial(self._load_image, image, self._reader)):
                        yield from hand_out(loaded)
                yield sorted(small, key=lambda loaded: loaded.facts.ordinal)
            finally:
                # Where the scan has failed, some are still to come, for nobody.
                for future in fetched:
                    future.add_done_callback(release_fetched)

    def _load_small_files(self, files: Sequence[ImageFacts], chunk: ChunkScan) -> tuple[list[Loaded], list[ImageFacts]]:
        """Return the small files, loaded, and the large ones, which were not read."""
        small, large = [], []
        with self._decoding:
            for image in files:
                try:
                    loaded = chunk.attempt(image, partial(self._load_image, image, self._small_reader))
                except LargeImageError:
                    large.append(image)
                    continue
                if loaded:
                    small.append(loaded)
        return small, large

    def _load_image(self, image: ImageFacts, reader: ContentReader) -> Loaded:
        content = self._loader.load(image.uri, reader)
        digest = hashlib.sha256(content.data).digest()
        return Loaded(ImageFacts(image.ordinal, image.uri, digest, len(content.data)), content)

    def _recall_known(self, loaded: Sequence[Loaded], chunk: ChunkScan) -> list[Loaded]:
        """Return the images that V4 is to be asked about; the others have been judged before, or are being judged."""
        if self._recall is None:
            return list(loaded)
        new = [image for image in loaded if not chunk.repeats_earlier(image.facts)]
        digests = [image.facts.digest for image in new]
        recalled = self._recall(digests, chunk.threshold, chunk.submitter) if new else {}
        unknown = []
        for image in new:
            if stored := recalled.get(image.facts.digest):
                chunk.settle(replace(stored, ordinal=image.facts.ordinal, uri=image.facts.uri, reused=True))
            else:
                unknown.append(image)
        return unknown

    def _decode(self, loaded: Sequence[Loaded], chunk: ChunkScan) -> list[Decoded]:
        """Return the images that can be decoded."""
        with self._decoding:
            decoded = [chunk.attempt(image.facts, partial(self._decode_image, image)) for image in loaded]
        return [image for image in decoded if image]

    def _decode_image(self, image: Loaded) -> Decoded:
        data = image.content.data
        with self._decoder.decode(data) as picture:
            planes = extract_planes(picture, data)
            known = image.facts
            facts = ImageFacts(
                known.ordinal, known.uri, known.sha256, known.size_bytes, picture.width, picture.height, picture.format
            )
        return Decoded(facts, planes, data)

    def _submit(self, decoded: Sequence[Decoded], chunk: ChunkScan) -> list[Scoring]:
        scores = self._batcher.submit([image.planes for image in decoded], chunk.threshold)
        return [
            Scoring(image.facts, score, self._keep(image.data)) for image, score in zip(decoded, scores, strict=True)
        ]

    def _keep(self, data: bytes) -> Content | None:
        reservation = self._kept_bytes.reserve_if_free(len(data))
        return Content(data, reservation) if reservation else None

    def _judge(self, scoring: Sequence[Scoring], chunk: ChunkScan) -> None:
        """Settle what V4 has scored."""
        for image in scoring:
            if verdict := chunk.attempt(image.facts, partial(self._judge_image, image), self._model_id):
                chunk.settle(verdict)
            image.release()

    def _judge_image(self, image: Scoring) -> NewVerdict:
        score = image.score.result()
        verdict = image.facts.make_verdict(
            Outcome.STEGO if score.is_stego else Outcome.CLEAN,
            model_id=self._model_id,
            stego_probability=score.stego_probability,
            method=score.method,
            bit_order=score.bit_order,
        )
        if not score.is_stego:
            return verdict
        message = self._read_message(image, score)
        return replace(verdict, extracted_message=None if message is None else make_storable(message))

    def _read_message(self, image: Scoring, score: Score) -> str | None:
        """Return the hidden message, as evidence; None where there is none, or the bytes are not to be had again."""
        assert score.method is not None
        try:
            content = image.kept or self._load_again(image.facts)
            if content is None:
                return None
            try:
                with self._decoding, self._decoder.decode(content.data) as picture:
                    return extract_message(
                        picture, content.data, score.method, score.bit_order, self._max_message_bytes
                    )
            finally:
                content.release()
        except ImageError:
            return None
        except Exception:
            # The verdict stands; a message is evidence beside it.
            log.exception("the message of an image could not be read")
            return None

    def _load_again(self, facts: ImageFacts) -> Content | None:
        """Return the bytes that were scored, None where the reference leads to others by now."""
        content = self._loader.load(facts.uri, self._reader)
        if hashlib.sha256(content.data).digest() == facts.sha256:
            return content
        content.release()
        return None


def hand_out(loaded: Loaded) -> Iterator[list[Loaded]]:
    """Yield a large image, alone; what it holds of the budget is given back afterwards."""
    try:
        yield [loaded]
    finally:
        loaded.content.release()


def release_fetched(fetched: Future[Loaded]) -> None:
    """Say that the bytes that were fetched, if any, are not held any more."""
    if fetched.exception() is None:
        fetched.result().content.release()
