"""The pipeline of one process: load, hash, decode, batch, score, and read what was hidden."""

import hashlib
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from storage.blobs import Blobs
from storage.error_codes import ErrorCode
from storage.settings import Settings
from storage.verdicts import NewVerdict
from worker.batcher import Batcher, Scorer
from worker.budget import Budget
from worker.decoding import Decoder
from worker.loading import ImageError, Loader
from worker.v4.detector import Score
from worker.v4.extraction import extract_message
from worker.v4.planes import extract_planes


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image on its way through V4: what is known of it already, and its score to come."""

    verdict: NewVerdict
    score: Future[Score]


class Scanner:
    """Scans references for many chunks at once; all of them share the decoding threads and the batcher."""

    def __init__(self, scorer: Scorer, model_id: int, settings: Settings) -> None:
        self._model_id = model_id
        self._max_message_bytes = settings.max_message_bytes
        self._loader = Loader(Blobs(settings.blobs()), settings.max_image_bytes)
        self._decoder = Decoder(settings.max_image_pixels, Budget(settings.decode_budget_bytes))
        self._threads = ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="decode")
        self._batcher = Batcher(scorer, settings.batch_size, settings.batch_wait_ms / 1000)

    def scan(self, images: Iterable[tuple[int, str]], threshold: float | None = None) -> list[NewVerdict]:
        """Return one verdict for each ordinal and reference, in order; what fails becomes an `error` verdict.

        Without a threshold, the model's own decides what counts as stego.
        """
        prepared = [self._threads.submit(self._prepare, ordinal, uri, threshold) for ordinal, uri in images]
        judged = [self._judge(future.result()) for future in prepared]
        return [verdict.result() if isinstance(verdict, Future) else verdict for verdict in judged]

    def close(self) -> None:
        """End the threads; no scan may be running."""
        self._threads.shutdown()
        self._batcher.close()

    def _prepare(self, ordinal: int, uri: str, threshold: float | None) -> Prepared | NewVerdict:
        verdict = NewVerdict(ordinal, uri, outcome="error", error_code=ErrorCode.CORRUPT)
        try:
            data = self._loader.load(uri)
            verdict = replace(verdict, sha256=hashlib.sha256(data).digest(), size_bytes=len(data))
            with self._decoder.decoded(data) as image:
                planes = extract_planes(image, data)
                verdict = replace(
                    verdict, model_id=self._model_id, width=image.width, height=image.height, format=image.format
                )
        except ImageError as error:
            return replace(verdict, error_code=error.code, error_detail=storable(error.detail))
        return Prepared(verdict, self._batcher.submit(planes, threshold))

    def _judge(self, prepared: Prepared | NewVerdict) -> NewVerdict | Future[NewVerdict]:
        if isinstance(prepared, NewVerdict):
            return prepared
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
            error_code=None,
            stego_probability=score.stego_probability,
            method=score.method,
            bit_order=score.bit_order,
        )
        return self._threads.submit(self._read_message, verdict) if score.is_stego else verdict

    def _read_message(self, verdict: NewVerdict) -> NewVerdict:
        """Add the hidden message as evidence. The bytes are read again: keeping all until scored would cost memory."""
        assert verdict.method is not None
        try:
            data = self._loader.load(verdict.uri)
            if hashlib.sha256(data).digest() != verdict.sha256:
                return verdict
            with self._decoder.decoded(data) as image:
                message = extract_message(image, data, verdict.method, verdict.bit_order, self._max_message_bytes)
        except ImageError:
            return verdict
        return replace(verdict, extracted_message=None if message is None else storable(message))


def storable(text: str) -> str:
    """Return the text without what PostgreSQL cannot hold: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "␀").encode("utf-8", "replace").decode("utf-8")
