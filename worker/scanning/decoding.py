"""From bytes to pixels with Pillow: the first frame, in its own mode, within bounds."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from starlight_vocabulary.formats import ImageFormat
from starlight_vocabulary.words import ErrorCode
from worker.scanning.budget import Budget
from worker.scanning.image_error import ImageError
from worker.scanning.truncation import ends_early, has_known_signature

# The formats that V4 was trained on; every other decoder of Pillow stays shut.
FORMATS = tuple(ImageFormat)
# Pillow keeps pixels of several channels in four bytes. Some decoders hold the picture several times over meanwhile:
# measured with pictures of 49 megapixels, in bytes a pixel beyond the picture itself.
BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
OTHER_BYTES_PER_PIXEL = 4
DECODER_BYTES_PER_PIXEL = {"WEBP": 12, "JPEG": 6, "MPO": 6}


class Decoder:
    """Decodes images of up to `max_pixels`, holding their memory in a budget that threads share."""

    def __init__(self, max_pixels: int, budget: Budget) -> None:
        self._max_pixels = max_pixels
        self._budget = budget
        # Decoders that learn a size only while they decode ask Pillow's own limit, which is one for the process.
        Image.MAX_IMAGE_PIXELS = max_pixels
        Image.init()
        # What Pillow has to say about odd images would flood the log; what matters becomes a verdict.
        warnings.filterwarnings("ignore", module=r"PIL\.")

    @contextmanager
    def decode(self, data: bytes) -> Iterator[Image.Image]:
        """Yield the first frame in its native mode, loaded; its memory is held until the block ends.

        Raises ImageError with the code `unknown_format`, `too_many_pixels`, `truncated` or `corrupt`.
        """
        with self._open(data) as image:
            pixels = image.width * image.height
            if pixels > self._max_pixels:
                raise self._too_many_pixels(f"{image.width:,} by {image.height:,} pixels")
            pixel_bytes = BYTES_PER_PIXEL.get(image.mode, OTHER_BYTES_PER_PIXEL)
            pixel_bytes += DECODER_BYTES_PER_PIXEL.get(image.format or "", 0)
            with self._budget.hold(len(data) + pixels * pixel_bytes):
                self._load(image, data)
                yield image

    def _open(self, data: bytes) -> Image.Image:
        try:
            return Image.open(BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError as error:
            if has_known_signature(data):
                raise explain_refusal(data, "the decoder does not recognise what follows the signature") from error
            # What the bytes are instead is not told: whoever names a reference need not be allowed to read it.
            raise ImageError(ErrorCode.UNKNOWN_FORMAT, "not an image of a supported format") from error
        except Exception as error:  # decoders raise whatever their input provokes
            raise self._explain(error, data) from error

    def _load(self, image: Image.Image, data: bytes) -> None:
        try:
            image.load()
        except Exception as error:  # decoders raise whatever their input provokes
            raise self._explain(error, data) from error

    def _explain(self, error: Exception, data: bytes) -> ImageError:
        if isinstance(error, Image.DecompressionBombError):
            return self._too_many_pixels(str(error).partition(" exceeds")[0])
        return explain_refusal(data, str(error) or type(error).__name__)

    def _too_many_pixels(self, what: str) -> ImageError:
        return ImageError(ErrorCode.TOO_MANY_PIXELS, f"{what}; the limit is {self._max_pixels:,} pixels")


def explain_refusal(data: bytes, reason: str) -> ImageError:
    """Return the error of an image that a decoder refused: truncated where it ends early, else corrupt."""
    truncated = "truncated" in reason.lower() or ends_early(data)
    return ImageError(ErrorCode.TRUNCATED if truncated else ErrorCode.CORRUPT, reason)
