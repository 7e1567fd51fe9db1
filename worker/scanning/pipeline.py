"""The pipeline of one process: load, hash, recall, decode, batch, score, and read what was hidden."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from storage.blobs import Blobs
from storage.error_codes import ErrorCode
from storage.settings import Settings
from storage.verdicts import NewVerdict
from worker.scanning.batcher import Batcher, Scorer
from worker.scanning.budget import Budget
from worker.scanning.decoding import Decoder
from worker.scanning.fetching import Fetcher
from worker.scanning.image_error import ImageError
from worker.scanning.loading import Loader
from worker.scanning.turns import Turns
from worker.v4.detector import Score
from worker.v4.extraction import extract_message
from worker.v4.planes import Planes, extract_planes

# Images of one chunk that are held at once. Larger ones are held one at a time, so that a chunk holds 64 MB at most,
# or one image.
GROUP = 64
SMALL_BYTES = 2**20

Image = tuple[int, str]
Recall = Callable[[Sequence[bytes], float | None], Mapping[bytes, NewVerdict]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """An image's bytes, and the verdict that it gets unless V4 is asked."""

    verdict: NewVerdict
    digest: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image that V4 is to be asked about: what is known of it already, and its planes."""

    verdict: NewVerdict
    planes: Planes


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image on its way through V4: what is known of it already, and its score to come."""

    verdict: NewVerdict
    score: Future[Score]


@dataclass(frozen=True, slots=True)
class Repeated:
    """An image whose bytes are those of an earlier one of the chunk."""

    ordinal: int
    uri: str
    earlier: int


class Scanner:
    """Scans references for many chunks at once, each in its own thread; all share one batcher.

    At most `decode_threads` of these threads decode at a time. With `recall`, no bytes are scored twice: it returns the
    stored verdicts of this model, by a job's threshold, on bytes of given SHA-256s.
    """

    def __init__(self, scorer: Scorer, model_id: int, settings: Settings, recall: Recall | None = None) -> None:
        self._model_id = model_id
        self._recall = recall
        self._max_message_bytes = settings.max_message_bytes
        blobs = Blobs(settings.blobs())
        self._fetcher = Fetcher(settings)
        self._loader = Loader(blobs, settings.max_image_bytes, self._fetcher)
        self._small_loader = Loader(blobs, min(SMALL_BYTES, settings.max_image_bytes), self._fetcher)
        self._decoder = Decoder(settings.max_image_pixels, Budget(settings.decode_budget_bytes))
        self._decoding = Turns(settings.decode_threads)
        self._fetching = ThreadPoolExecutor(settings.fetch_threads, thread_name_prefix="fetch")
        self._batcher = Batcher(scorer, settings.batch_size, settings.batch_wait_ms / 1000)

    def scan(self, images: Iterable[Image], threshold: float | None = None) -> list[NewVerdict]:
        """Return one verdict for each ordinal and reference, in order; what fails becomes an `error` verdict.

        Without a threshold, the model's own decides what counts as stego.
        """
        prepared: list[Prepared | Repeated | NewVerdict] = []
        first_of: dict[bytes, int] = {}
        for group in self._loaded(list(images)):
            prepared += self._prepare(group, len(prepared), threshold, first_of)
        verdicts: list[NewVerdict] = []
        for each in prepared:
            if isinstance(each, Repeated):
                earlier = verdicts[each.earlier]
                verdicts.append(replace(earlier, ordinal=each.ordinal, uri=each.uri, reused=earlier.outcome != "error"))
            else:
                verdicts.append(self._judge(each) if isinstance(each, Prepared) else each)
        return verdicts

    def close(self) -> None:
        """End the threads; no scan may be running."""
        self._fetching.shutdown()
        self._fetcher.close()
        self._batcher.close()

    def _loaded(self, images: Sequence[Image]) -> Iterator[list[Loaded | NewVerdict]]:
        """Yield all images in order, loaded or refused, in groups that may be held at once."""
        for start in range(0, len(images), GROUP):
            group = images[start : start + GROUP]
            if all(uri.startswith("file:") for _, uri in group):
                with self._decoding:
                    loaded = [self._load_small(image) for image in group]
            else:
                loaded = list(self._fetching.map(self._load_small, group))
            held: list[Loaded | NewVerdict] = []
            for image, small in zip(group, loaded, strict=True):
                if small is None:
                    yield held
                    yield [self._load(self._loader, image)]
                    held = []
                else:
                    held.append(small)
            yield held

    def _load_small(self, image: Image) -> Loaded | NewVerdict | None:
        """Load an image, or return None where it is too large to be held beside others."""
        loaded = self._load(self._small_loader, image)
        too_large = isinstance(loaded, NewVerdict) and loaded.error_code is ErrorCode.TOO_LARGE
        return None if too_large else loaded

    def _load(self, loader: Loader, image: Image) -> Loaded | NewVerdict:
        ordinal, uri = image
        try:
            data = loader.load(uri)
        except ImageError as error:
            return refused(NewVerdict(ordinal, uri, outcome="error"), error)
        digest = hashlib.sha256(data).digest()
        verdict = NewVerdict(ordinal, uri, outcome="error", sha256=digest, size_bytes=len(data))
        return Loaded(verdict, digest, data)

    def _prepare(
        self, group: Sequence[Loaded | NewVerdict], start: int, threshold: float | None, first_of: dict[bytes, int]
    ) -> list[Prepared | Repeated | NewVerdict]:
        """Send a group's images to V4, but for those whose verdict is known; `start` is the first one's position."""
        new = {image.digest for image in group if isinstance(image, Loaded)} - first_of.keys()
        recalled = self._recall(list(new), threshold) if self._recall is not None and new else {}
        decoded: list[Decoded | Repeated | NewVerdict] = []
        with self._decoding:
            for position, image in enumerate(group, start):
                decoded.append(self._decode_new(image, position, first_of, recalled))
        scores = iter(self._batcher.submit([each.planes for each in decoded if isinstance(each, Decoded)], threshold))
        return [Prepared(each.verdict, next(scores)) if isinstance(each, Decoded) else each for each in decoded]

    def _decode_new(
        self,
        image: Loaded | NewVerdict,
        position: int,
        first_of: dict[bytes, int],
        recalled: Mapping[bytes, NewVerdict],
    ) -> Decoded | Repeated | NewVerdict:
        if isinstance(image, NewVerdict):
            return image
        ordinal, uri = image.verdict.ordinal, image.verdict.uri
        if self._recall is not None:
            earlier = first_of.setdefault(image.digest, position)
            if earlier != position:
                return Repeated(ordinal, uri, earlier)
        if stored := recalled.get(image.digest):
            return replace(stored, ordinal=ordinal, uri=uri, reused=True)
        return self._decode(image)

    def _decode(self, image: Loaded) -> Decoded | NewVerdict:
        try:
            with self._decoder.decoded(image.data) as picture:
                planes = extract_planes(picture, image.data)
                verdict = replace(
                    image.verdict,
                    model_id=self._model_id,
                    width=picture.width,
                    height=picture.height,
                    format=picture.format,
                )
        except ImageError as error:
            return refused(image.verdict, error)
        return Decoded(verdict, planes)

    def _judge(self, prepared: Prepared) -> NewVerdict:
        try:
            score = prepared.score.result()
        except Exception as error:
            return replace(
                prepared.verdict,
                error_code=ErrorCode.SCAN_FAILED,
                error_detail=storable(f"{type(error).__name__}: {error}"),
            )
        verdict = replace(
            prepared.verdict,
            outcome="stego" if score.is_stego else "clean",
            stego_probability=score.stego_probability,
            method=score.method,
            bit_order=score.bit_order,
        )
        return self._with_message(verdict) if score.is_stego else verdict

    def _with_message(self, verdict: NewVerdict) -> NewVerdict:
        """Add the hidden message as evidence. The bytes are read again: keeping all until scored would cost memory."""
        assert verdict.method is not None
        try:
            data = self._loader.load(verdict.uri)
            if hashlib.sha256(data).digest() != verdict.sha256:
                return verdict
            with self._decoding, self._decoder.decoded(data) as image:
                message = extract_message(image, data, verdict.method, verdict.bit_order, self._max_message_bytes)
        except ImageError:
            return verdict
        return replace(verdict, extracted_message=None if message is None else storable(message))


def refused(verdict: NewVerdict, error: ImageError) -> NewVerdict:
    """Return the verdict as the `error` that it ends as."""
    return replace(verdict, error_code=error.code, error_detail=storable(error.detail))


def storable(text: str) -> str:
    """Return the text without what PostgreSQL cannot hold: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "␀").encode("utf-8", "replace").decode("utf-8")
