"""The images of one chunk while it is scanned: the facts about each, and the verdicts so far."""

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Never, TypeVar

from starlight_vocabulary.payload import Payload
from starlight_vocabulary.words import ErrorCode, Outcome
from storage.new_verdict import NewVerdict
from worker.scanning.content import LargeImageError
from worker.scanning.image_error import ImageError

Result = TypeVar("Result")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """The facts about an image without a verdict yet; `sha256` and `size_bytes` are set once it is loaded."""

    ordinal: int
    uri: str
    sha256: bytes | None = None
    size_bytes: int | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the bytes of a loaded image."""
        assert self.sha256 is not None, "the digest is known once the image is loaded"
        return self.sha256

    def with_picture(self, width: int, height: int, kind: str) -> "ImageFacts":
        """Return the facts of the image after it was decoded."""
        return ImageFacts(self.ordinal, self.uri, self.sha256, self.size_bytes, width, height, kind)

    def make_verdict(self, outcome: Outcome, **more: Any) -> NewVerdict:  # noqa: ANN401 - of the other fields
        """Return a verdict with these facts; `more` are its other fields."""
        return NewVerdict(
            ordinal=self.ordinal,
            uri=self.uri,
            outcome=outcome,
            sha256=self.sha256,
            size_bytes=self.size_bytes,
            width=self.width,
            height=self.height,
            format=self.format,
            **more,
        )


class GivenUpError(Exception):
    """The chunk was given up: its verdicts are no longer wanted."""


class ChunkScan:
    """Collects one verdict for each image of a chunk, in any order.

    `threshold` is the job's own, None for the model's; `submitter` is the submitter of the job. With `follow_links`,
    files behind links are read. After `loading_s` seconds, the chunk no longer waits for images from elsewhere. With
    `anew`, stored verdicts on the same bytes are ignored; with `at_once`, the chunk goes before others. `given_up` is
    done once the verdicts are no longer wanted.
    """

    def __init__(
        self,
        images: Iterable[tuple[int, str]],
        threshold: float | None,
        submitter: str,
        *,
        follow_links: bool,
        loading_s: float,
        given_up: "Future[None] | None",
        anew: bool = False,
        at_once: bool = False,
    ) -> None:
        self.threshold = threshold
        self.submitter = submitter
        self.follow_links = follow_links
        self.anew = anew
        self.at_once = at_once
        self.given_up: Future[None] = given_up or Future()
        self.loading_s = loading_s
        self._loading_ends = time.monotonic() + loading_s
        self.images = [ImageFacts(ordinal, uri) for ordinal, uri in images]
        self._verdicts: dict[int, NewVerdict] = {}
        self._first_of: dict[bytes, int] = {}
        self._repeats: list[tuple[ImageFacts, int]] = []

    def loading_left_s(self) -> float:
        """Return how many seconds are left to wait for images from elsewhere."""
        return max(0.0, self._loading_ends - time.monotonic())

    def is_waited_for(self) -> bool:
        """Whether the chunk still waits for images: its time for loading is not over, and it is not given up."""
        return self.loading_left_s() > 0 and not self.given_up.done()

    def refuse_late(self) -> Never:
        """Raise the error of an image that was not loaded in time."""
        raise ImageError(ErrorCode.UNAVAILABLE, f"the images of this chunk did not come within {self.loading_s:g} s")

    def settle(self, verdict: NewVerdict) -> None:
        """Set the verdict of an image."""
        self._verdicts[verdict.ordinal] = verdict

    def attempt(self, image: ImageFacts, stage: Callable[[], Result]) -> Result | None:
        """Return the result of the stage; if it raises, settle the image with an `error` verdict and return None.

        Passes on LargeImageError, and MemoryError, which is not the fault of this image alone.
        """
        try:
            return stage()
        except (MemoryError, LargeImageError):
            raise
        except ImageError as error:
            self.settle_error(image, error)
        except Exception as error:
            self.settle_failure(image, error)
        return None

    def settle_error(self, image: ImageFacts, error: ImageError, model_id: int | None = None) -> None:
        """Settle an image that cannot be scanned; `model_id` is set if it was given to V4."""
        detail = make_storable(error.detail)
        self.settle(image.make_verdict(Outcome.ERROR, error_code=error.code, error_detail=detail, model_id=model_id))

    def settle_failure(self, image: ImageFacts, error: Exception, model_id: int | None = None) -> None:
        """Settle an image on which this code failed."""
        log.error("a stage of the scan failed on one image", exc_info=error)
        self.settle_error(image, ImageError(ErrorCode.SCAN_FAILED, f"{type(error).__name__}: {error}"), model_id)

    def add_payload(self, image: ImageFacts, payload: Payload | None) -> None:
        """Add a payload to the verdict of an image; None if none could be read."""
        if payload is not None:
            message = payload.to_message()
            verdict = self._verdicts[image.ordinal]
            self.settle(replace(verdict, extracted_message=message and make_storable(message), payload=payload))

    def repeats_earlier(self, image: ImageFacts) -> bool:
        """Whether an earlier image of the chunk has the same bytes; if so, this one shares its verdict."""
        first = self._first_of.setdefault(image.digest, image.ordinal)
        if first == image.ordinal:
            return False
        self._repeats.append((image, first))
        return True

    def list_verdicts(self) -> list[NewVerdict]:
        """Return the verdicts in the order of the images; all must be settled."""
        for image, first in self._repeats:
            earlier = self._verdicts[first]
            reused = earlier.outcome is not Outcome.ERROR
            self.settle(replace(earlier, ordinal=image.ordinal, uri=image.uri, reused=reused))
        return [self._verdicts[image.ordinal] for image in self.images]


def make_storable(text: str) -> str:
    """Return the text without what PostgreSQL cannot store: NUL and lone surrogates are replaced."""
    return text.replace("\0", "␀").encode("utf-8", "replace").decode("utf-8")
