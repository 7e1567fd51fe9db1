"""From bytes to pixels with Pillow: the first frame, in its own mode, within bounds."""

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from io import BytesIO
from typing import Final, Protocol

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from starlight_vocabulary.formats import ImageFormat
from starlight_vocabulary.words import ErrorCode
from storage.image_signatures import HEAD_BYTES, find_format
from worker.scanning.image_error import ImageError
from worker.scanning.truncation import ends_early
from worker.v4.containers import survey

# The formats that V4 was trained on; every other decoder of Pillow stays shut. What is imported above registers them.
PLUGINS: Final = (
    BmpImagePlugin, GifImagePlugin, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin,
)  # fmt: skip
FORMATS: Final = tuple(ImageFormat)
# Pillow keeps pixels of several channels in four bytes. Some decoders hold the picture several times over meanwhile:
# measured with pictures of 49 megapixels, in bytes a pixel beyond the picture itself.
BYTES_PER_PIXEL: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
OTHER_BYTES_PER_PIXEL: Final = 4
DECODER_BYTES_PER_PIXEL: Final = {"WEBP": 12, "JPEG": 6, "MPO": 6}
# Each scan of a JPEG goes over the whole picture; encoders write ten or so, and hardly any file has more than these.
MAX_SCANS: Final = 200
START_OF_JPEG: Final = b"\xff\xd8\xff"
START_OF_SCAN: Final = b"\xff\xda"
# Of a PNG, unpacked: more text is no damage. What it takes is bounded by the memory of the process.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
DAMAGES: Final = (ErrorCode.TRUNCATED, ErrorCode.CORRUPT)


class MemoryLender(Protocol):
    """Whoever says when there is memory for a picture."""

    def hold(self, size: int) -> AbstractContextManager[None]:
        """Hold so many bytes within the block, waiting until they are free."""


class Decoder:
    """Decodes images of up to `max_pixels`, holding memory that is lent."""

    def __init__(self, max_pixels: int, memory: MemoryLender) -> None:
        self._max_pixels = max_pixels
        self._memory = memory
        # Decoders that learn a size only while they decode ask Pillow's own limit, which is one for the process.
        Image.MAX_IMAGE_PIXELS = max_pixels
        # What Pillow has to say about odd images would flood the log; what matters becomes a verdict.
        warnings.filterwarnings("ignore", module=r"PIL\.")

    @contextmanager
    def decode(self, data: bytes) -> Iterator[Image.Image]:
        """Yield the first frame in its native mode, loaded; its memory is held until the block ends.

        Raises ImageError with the code `unknown_format`, `too_many_pixels`, `too_slow`, `truncated` or `corrupt`.
        """
        check_scans(data)
        with self._open(data) as image:
            pixels = image.width * image.height
            if pixels > self._max_pixels:
                raise self._too_many_pixels(f"{image.width:,} by {image.height:,} pixels")
            pixel_bytes = BYTES_PER_PIXEL.get(image.mode, OTHER_BYTES_PER_PIXEL)
            pixel_bytes += DECODER_BYTES_PER_PIXEL.get(image.format or "", 0)
            with self._memory.hold(len(data) + pixels * pixel_bytes):
                self._load(image, data)
                yield image

    @contextmanager
    def decode_damaged(self, data: bytes) -> Iterator[tuple[Image.Image, ImageError | None]]:
        """Yield what `decode` yields, or what a damaged file shows of its picture, with what is wrong with it.

        Raises what `decode` raises where there is nothing to be seen. Not for several threads: what Pillow forgives is
        one setting for the process.
        """
        with ExitStack() as stack:
            damage = None
            try:
                image = stack.enter_context(self.decode(data))
            except ImageError as error:
                if error.code not in DAMAGES:
                    raise
                damage = error
                ImageFile.LOAD_TRUNCATED_IMAGES = True
                stack.callback(setattr, ImageFile, "LOAD_TRUNCATED_IMAGES", False)
                try:
                    image = stack.enter_context(self.decode(data))
                except ImageError:
                    raise damage from error
            yield image, damage

    def _open(self, data: bytes) -> Image.Image:
        try:
            return Image.open(BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError as error:
            if find_format(data[:HEAD_BYTES]):
                raise explain_refusal(data, "the decoder does not recognise what follows the signature") from error
            # What the bytes are instead is not told: whoever names a reference need not be allowed to read it.
            raise ImageError(ErrorCode.UNKNOWN_FORMAT, "not an image of a supported format") from error
        except MemoryError:
            raise
        except Exception as error:  # decoders raise whatever their input provokes
            raise self._explain(error, data) from error

    def _load(self, image: Image.Image, data: bytes) -> None:
        try:
            image.load()
        except MemoryError:
            raise
        except Exception as error:  # decoders raise whatever their input provokes
            raise self._explain(error, data) from error

    def _explain(self, error: Exception, data: bytes) -> ImageError:
        if isinstance(error, Image.DecompressionBombError):
            return self._too_many_pixels(str(error).partition(" exceeds")[0])
        return explain_refusal(data, str(error) or type(error).__name__)

    def _too_many_pixels(self, what: str) -> ImageError:
        return ImageError(ErrorCode.TOO_MANY_PIXELS, f"{what}; the limit is {self._max_pixels:,} pixels")


def check_scans(data: bytes) -> None:
    """Raise ImageError for a JPEG of very many scans; what follows the picture is not counted."""
    # Others have none, and to look for them takes as long as to decode some.
    is_suspect = data.startswith(START_OF_JPEG) and data.count(START_OF_SCAN) > MAX_SCANS
    if is_suspect and (scans := survey(data).scans) > MAX_SCANS:
        raise ImageError(ErrorCode.TOO_SLOW, f"a JPEG of {scans:,} scans; the limit is {MAX_SCANS}")


def explain_refusal(data: bytes, reason: str) -> ImageError:
    """Return the error of an image that a decoder refused: truncated where it ends early, else corrupt."""
    truncated = "truncated" in reason.lower() or ends_early(data)
    return ImageError(ErrorCode.TRUNCATED if truncated else ErrorCode.CORRUPT, reason)
