"""Formats of images, archives and exports, with their suffixes and media types."""

from typing import Self

from starlight_vocabulary.words import Word


class FileFormat(Word):
    """A format: its name, its media type, and the suffixes of its files, the usual one first."""

    media_type: str
    suffixes: tuple[str, ...]

    def __new__(cls, word: str, media_type: str, *suffixes: str) -> Self:
        """Return the member with this name."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.media_type = media_type
        member.suffixes = suffixes
        return member


class ImageFormat(FileFormat):
    """The formats that V4 was trained on, under Pillow's names for them."""

    PNG = "PNG", "image/png", ".png"
    JPEG = "JPEG", "image/jpeg", ".jpg", ".jpeg"
    GIF = "GIF", "image/gif", ".gif"
    WEBP = "WEBP", "image/webp", ".webp"
    BMP = "BMP", "image/bmp", ".bmp"
    TIFF = "TIFF", "image/tiff", ".tif", ".tiff"

    @classmethod
    def of_suffix(cls, suffix: str) -> Self | None:
        """Return the format of files with this suffix, ignoring case, or None."""
        return next((each for each in cls if suffix.lower() in each.suffixes), None)


class ArchiveFormat(FileFormat):
    """The archives that are unpacked into images."""

    ZIP = "zip", "application/zip", ".zip"
    TAR = "tar", "application/x-tar", ".tar"
    TAR_GZIP = "tar.gz", "application/gzip", ".tar.gz", ".tgz"
    TAR_BZIP2 = "tar.bz2", "application/x-bzip2", ".tar.bz2", ".tbz2"
    TAR_XZ = "tar.xz", "application/x-xz", ".tar.xz", ".txz"


class ExportFormat(FileFormat):
    """The formats in which verdicts are exported."""

    NDJSON = "ndjson", "application/x-ndjson", ".ndjson"
    CSV = "csv", "text/csv", ".csv"
    PARQUET = "parquet", "application/vnd.apache.parquet", ".parquet"


JSON = "application/json"
"""The media type of JSON documents."""
