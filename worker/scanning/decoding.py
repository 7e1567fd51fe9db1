"""Decodes images with Pillow: the first frame, in its native mode, within limits."""

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from io import BytesIO
from typing import Final, NamedTuple, Protocol

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
from worker.scanning.jpeg_shortening import read_jpeg_header
from worker.scanning.png_shortening import read_png_header
from worker.scanning.truncation import ends_early
from worker.v4.containers import JPEG_START, survey
from worker.v4.planes import count_rows_read

# The formats that V4 was trained on; importing the plugins registers their decoders, and no others of Pillow's.
PLUGINS: Final = (
    BmpImagePlugin, GifImagePlugin, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin,
)  # fmt: skip
FORMATS: Final = tuple(ImageFormat)
# Pillow stores a pixel of several channels in four bytes. Some decoders hold the picture several times while they work:
# bytes per pixel beyond the picture itself, measured with pictures of 49 megapixels.
BYTES_PER_PIXEL: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
OTHER_BYTES_PER_PIXEL: Final = 4
DECODER_BYTES_PER_PIXEL: Final = {"WEBP": 12, "JPEG": 6, "MPO": 6}
# Each scan of a JPEG covers the whole picture. Encoders write about ten; almost no file has more than this limit.
MAX_SCANS: Final = 200
START_OF_SCAN: Final = b"\xff\xda"
# Much unpacked text in a PNG is not an error. The memory limit of the process bounds it.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
DAMAGES: Final = (ErrorCode.TRUNCATED, ErrorCode.CORRUPT)


class MemoryLender(Protocol):
    """Lends memory for pictures."""

    def hold(self, size: int) -> AbstractContextManager[None]:
        """Hold `size` bytes within the block, waiting until they are free."""


class FirstRows(NamedTuple):
    """A picture of `height` rows, of which `image` contains at least those that `extract_planes` reads.

    `damage` is the error if only a part of the picture could be decoded.
    """

    image: Image.Image
    height: int
    damage: ImageError | None


class Decoder:
    """Decodes images of up to `max_pixels` pixels, with memory from a lender."""

    def __init__(self, max_pixels: int, memory: MemoryLender) -> None:
        self._max_pixels = max_pixels
        self._memory = memory
        # Decoders that learn the size only while they decode check Pillow's own limit, which is global to the process.
        Image.MAX_IMAGE_PIXELS = max_pixels
        # Pillow's warnings about odd images would flood the log; real errors become verdicts.
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
        """Yield what `decode` yields, or the decodable part of a damaged image with its error.

        Raises what `decode` raises if nothing can be decoded. Not thread-safe: Pillow's tolerance of truncated files is
        a global setting of the process.
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

    @contextmanager
    def decode_first_rows(self, data: bytes) -> Iterator[FirstRows]:
        """Yield what V4 needs of an image; as `decode_damaged`, but PNGs and JPEGs are decoded only so far.

        Raises what `decode_damaged` raises.
        """
        with ExitStack() as stack:
            first = self._decode_shortened(data, stack)
            if first is None:
                image, damage = stack.enter_context(self.decode_damaged(data))
                first = FirstRows(image, image.height, damage)
            yield first

    def _decode_shortened(self, data: bytes, stack: ExitStack) -> FirstRows | None:
        """Return the first rows of an image that is whole, None if it has to be decoded as a whole."""
        header = read_png_header(data) or read_jpeg_header(data)
        if header is None or header.width * header.height > self._max_pixels:
            return None
        rows = count_rows_read(header.width, header.height)
        if rows == header.height:
            return None
        with self._memory.hold(header.count_bytes(rows)):
            short = header.shorten(data, rows)
        if short is None:
            return None
        try:
            return FirstRows(stack.enter_context(self.decode(short)), header.height, None)
        except ImageError:
            return None

    def _open(self, data: bytes) -> Image.Image:
        try:
            return Image.open(BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError as error:
            if find_format(data[:HEAD_BYTES]):
                raise classify_damage(data, "the decoder does not recognise what follows the signature") from error
            # The bytes are not described: the submitter may not be allowed to read what the reference leads to.
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
        return classify_damage(data, str(error) or type(error).__name__)

    def _too_many_pixels(self, what: str) -> ImageError:
        return ImageError(ErrorCode.TOO_MANY_PIXELS, f"{what}; the limit is {self._max_pixels:,} pixels")


def check_scans(data: bytes) -> None:
    """Raise ImageError for a JPEG with more than `MAX_SCANS` scans; bytes after the picture are not counted."""
    # Only in JPEGs: the search takes as long as decoding some images of other formats.
    is_suspect = data.startswith(JPEG_START) and data.count(START_OF_SCAN) > MAX_SCANS
    if is_suspect and (scans := survey(data).scans) > MAX_SCANS:
        raise ImageError(ErrorCode.TOO_SLOW, f"a JPEG of {scans:,} scans; the limit is {MAX_SCANS}")


def classify_damage(data: bytes, reason: str) -> ImageError:
    """Return the error of an image that a decoder refused: truncated if it ends early, otherwise corrupt."""
    truncated = "truncated" in reason.lower() or ends_early(data)
    return ImageError(ErrorCode.TRUNCATED if truncated else ErrorCode.CORRUPT, reason)
