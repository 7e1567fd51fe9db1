"""Reads the bytes of one image from a stream, in one pass and within limits."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import SEEK_END, BytesIO

from starlight_vocabulary.words import ErrorCode
from worker.scanning.budget import Budget, Reservation
from worker.scanning.image_error import ImageError

SMALL_BYTES = 2**20
"""Images up to this size are held in groups; each larger one is counted in a budget."""


class LargeImageError(Exception):
    """The image is larger than `SMALL_BYTES`, and the reader has no budget for large images."""


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of an image; a large one holds bytes of a budget until `release`."""

    data: bytes
    reservation: Reservation | None = None

    @property
    def is_large(self) -> bool:
        """Whether the bytes are counted in the budget."""
        return self.reservation is not None

    def release(self) -> None:
        """Release the bytes of the budget."""
        if self.reservation is not None:
            self.reservation.release()


@dataclass(frozen=True, slots=True)
class ContentReader:
    """Reads streams of up to `max_bytes` bytes, for one submitter.

    Large images wait for the budget in the middle of their stream, for up to `patience_s` seconds if that is set.
    """

    max_bytes: int
    large_images: Budget | None
    submitter: str = ""
    patience_s: float | None = None

    def read(self, pieces: Iterator[bytes], announced: int | None = None) -> Content:
        """Return the stream's bytes; `announced` is its size if known beforehand.

        Raises ImageError if the stream is empty or larger than `max_bytes`, or if memory does not become free in time,
        and LargeImageError.
        """
        if announced is not None and announced > self.max_bytes:
            raise self._too_large(f"{announced:,} bytes; the limit is {self.max_bytes:,}")
        with ExitStack() as failing:
            reservation = None
            if announced is not None and announced > SMALL_BYTES:
                reservation = self._reserve(announced, failing)
            collected, size = BytesIO(), 0
            for piece in pieces:
                # Not a list: a server may send single bytes, and each piece would take many times its size.
                if size == 0:
                    # The first piece is copied only if more follow.
                    collected = BytesIO(piece)
                    collected.seek(0, SEEK_END)
                else:
                    collected.write(piece)
                size += len(piece)
                if size > self.max_bytes:
                    raise self._too_large(f"more than the limit of {self.max_bytes:,} bytes")
                if size > SMALL_BYTES and reservation is None:
                    reservation = self._reserve(self.max_bytes, failing)
            if size == 0:
                raise ImageError(ErrorCode.EMPTY, "the file is empty")
            failing.pop_all()
        return Content(collected.getvalue(), reservation)

    def _reserve(self, size: int, failing: ExitStack) -> Reservation:
        if self.large_images is None:
            raise LargeImageError
        try:
            reservation = self.large_images.reserve(size, self.submitter, self.patience_s)
        except TimeoutError as error:
            raise ImageError(
                ErrorCode.UNAVAILABLE, f"no memory for {size:,} bytes within {self.patience_s:g} s"
            ) from error
        failing.callback(reservation.release)
        return reservation

    @staticmethod
    def _too_large(detail: str) -> ImageError:
        return ImageError(ErrorCode.TOO_LARGE, detail)
