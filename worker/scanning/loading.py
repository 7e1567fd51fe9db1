"""Loads the bytes behind a reference, within limits, or raises an ImageError with a clear reason."""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from obstore.exceptions import BaseError as StoreError
from obstore.exceptions import GenericError, JoinError

from starlight_vocabulary.formats import ArchiveFormat
from starlight_vocabulary.words import ErrorCode
from storage.blobs import Blobs
from storage.bucket_stores import OtherVersionError, explain_refusal, open_from_bucket
from storage.buckets import BUCKET_NAMES
from storage.spans import Span, describe_version, read_span
from worker.scanning.content import Content, ContentReader
from worker.scanning.fetching import Fetcher
from worker.scanning.image_error import ImageError

MIN_READ = 64 * 2**10
# O_NONBLOCK: opening a pipe would otherwise wait for a writer.
OPENING = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Temporary errors of file operations: of the disk, of the network under it, or of limits of this process or machine.
PASSING = {
    errno.EAGAIN, errno.EBUSY, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTDOWN,
    errno.EHOSTUNREACH, errno.EINTR, errno.EIO, errno.EMFILE, errno.ENETDOWN, errno.ENETUNREACH, errno.ENFILE,
    errno.ENOBUFS, errno.ENOLCK, errno.ENOMEM, errno.ENOTCONN, errno.ESTALE, errno.ETIMEDOUT,
}  # fmt: skip


ARCHIVE_SUFFIXES = tuple(suffix for each in ArchiveFormat for suffix in each.suffixes)
# An archive of another version may have other bytes at the span.
CHANGED = "the archive has changed since it was submitted: submit it again"


class Loader:
    """Reads references: `file://`, `blob://`, those of buckets, and those that the fetcher supports."""

    def __init__(self, blobs: Blobs, fetcher: Fetcher | None = None) -> None:
        self._blobs = blobs
        self._fetcher = fetcher

    def load(
        self,
        uri: str,
        reader: ContentReader,
        *,
        follow_links: bool = True,
        is_given_up: Callable[[], bool] = lambda: False,
    ) -> Content:
        """Return the reader's result for the bytes behind the reference; raises what the reader raises, and ImageError.

        Without `follow_links`, a file whose path contains links is not read. A fetch that is given up ends soon after
        it is connected, with an ImageError.
        """
        try:
            parts = urlsplit(uri)
        except ValueError as error:
            raise ImageError(ErrorCode.UNSUPPORTED_URI, f"not a URI: {error}") from error
        if parts.scheme == "file" and parts.query:
            raise ImageError(ErrorCode.UNSUPPORTED_URI, "the URI contains a ?: write it as %3F in a file name")
        if parts.scheme == "file":
            span = read_span(parts.fragment)
            if parts.fragment and span is None:
                raise unreadable_member(parts.fragment)
            return self._read_file(unquote_to_bytes(parts.path), reader, follow_links, span)
        if parts.scheme == "blob":
            return self._read_blob(parts.netloc, reader)
        if parts.scheme == "bitcoin":
            raise ImageError(
                ErrorCode.TOO_LARGE,
                "unpacking the images of its block exceeds STARLIGHT_MAX_INSCRIBED_BYTES, or half of "
                "STARLIGHT_MAX_UNPACK_SECONDS",
            )
        if parts.scheme in BUCKET_NAMES:
            if parts.fragment and read_span(parts.fragment) is None and parts.path.lower().endswith(ARCHIVE_SUFFIXES):
                raise unreadable_member(parts.fragment)
            with store_errors_explained("the bucket", "there is no such object in the bucket"):
                try:
                    stored = open_from_bucket(uri)
                except ValueError as error:
                    raise ImageError(ErrorCode.UNSUPPORTED_URI, f"no object can have this name: {error}") from error
                except OtherVersionError as error:
                    raise ImageError(ErrorCode.BAD_ARCHIVE_MEMBER, CHANGED) from error
                return reader.read(stored.pieces, stored.size)
        if self._fetcher is not None and self._fetcher.can_fetch(parts.scheme):
            return self._fetcher.fetch(uri, reader, is_given_up)
        raise ImageError(ErrorCode.UNSUPPORTED_URI, f"cannot load references of the scheme {parts.scheme!r}")

    def _read_file(self, path: bytes, reader: ContentReader, follow_links: bool, span: Span | None) -> Content:
        try:
            descriptor = os.open(path, OPENING) if follow_links else open_without_links(path)
        except ValueError as error:
            raise ImageError(ErrorCode.NOT_FOUND, f"no file can have this name: {error}") from error
        except OSError as error:
            raise self._unopened(path, error) from error
        try:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise self._directory(path)
            if not stat.S_ISREG(status.st_mode):
                raise ImageError(ErrorCode.NOT_A_FILE, "a pipe, socket or device")
            if span is not None:
                if describe_version(status) != span.version or span.start + span.size > status.st_size:
                    raise ImageError(ErrorCode.BAD_ARCHIVE_MEMBER, CHANGED)
                return reader.read(read_pieces_of(descriptor, span), span.size)
            return reader.read(read_pieces(descriptor, status.st_size), status.st_size)
        except OSError as error:
            raise self._unread(error) from error
        finally:
            os.close(descriptor)

    def _read_blob(self, digest: str, reader: ContentReader) -> Content:
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise ImageError(ErrorCode.NOT_FOUND, "blobs are named by their SHA-256, in hex")
        with store_errors_explained("the blob store", "the uploaded bytes are not in the blob store"):
            stored = self._blobs.open(digest)
            return reader.read(stored.pieces, stored.size)

    @staticmethod
    def _unopened(path: bytes, error: OSError) -> ImageError:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return ImageError(ErrorCode.NOT_FOUND, error.strerror or str(error))
        if error.errno == errno.ENXIO:
            return ImageError(ErrorCode.NOT_A_FILE, "a socket or device")
        return Loader._unread(error)

    @staticmethod
    def _unread(error: OSError) -> ImageError:
        code = ErrorCode.UNAVAILABLE if error.errno in PASSING else ErrorCode.NOT_READABLE
        return ImageError(code, error.strerror or str(error))

    @staticmethod
    def _directory(path: bytes) -> ImageError:
        inside = os.path.realpath(os.path.dirname(path)) + b"/"  # noqa: PTH120 - pathlib cannot hold bytes
        if os.path.islink(path) and inside.startswith(os.path.realpath(path).rstrip(b"/") + b"/"):  # noqa: PTH114
            return ImageError(ErrorCode.DIRECTORY_LOOP, "a link to a folder that contains it")
        return ImageError(ErrorCode.NOT_A_FILE, "a folder")


def unreadable_member(fragment: str) -> ImageError:
    """Return the error of a member that could not be read from its archive at submission."""
    return ImageError(ErrorCode.BAD_ARCHIVE_MEMBER, f"could not be read from the archive: {unquote(fragment)}")


def open_without_links(path: bytes) -> int:
    """Open a file by its absolute path, component by component; raises OSError if one of them is a link."""
    *folders, name = path.split(b"/")[1:]
    inside = os.open(b"/", FOLDER)
    for folder in folders:
        outside = inside
        try:
            inside = os.open(folder, FOLDER, dir_fd=outside)
        finally:
            os.close(outside)
    try:
        return os.open(name, OPENING | os.O_NOFOLLOW, dir_fd=inside)
    finally:
        os.close(inside)


def read_pieces(descriptor: int, size: int) -> Iterator[bytes]:
    """Yield the bytes of a file, in one piece if its size is still `size`; raises OSError."""
    # Read to the end, not to `size`: a file that grows meanwhile is read whole or refused.
    left = size
    while piece := os.read(descriptor, max(MIN_READ, left)):
        yield piece
        left -= len(piece)


def read_pieces_of(descriptor: int, span: Span) -> Iterator[bytes]:
    """Yield the bytes of a span; raises OSError, and ImageError if the file ends within it."""
    at, end = span.start, span.start + span.size
    while at < end:
        piece = os.pread(descriptor, end - at, at)
        if not piece:
            raise ImageError(ErrorCode.BAD_ARCHIVE_MEMBER, CHANGED)
        yield piece
        at += len(piece)


@contextmanager
def store_errors_explained(store: str, missing: str) -> Iterator[None]:
    """Convert the errors of an object store to ImageError."""
    try:
        yield
    except FileNotFoundError as error:
        raise ImageError(ErrorCode.NOT_FOUND, missing) from error
    except (GenericError, JoinError) as error:
        # obstore raises GenericError, after its own retries, for every failure that has no class of its own.
        raise ImageError(ErrorCode.UNAVAILABLE, f"{store} does not answer: {explain_refusal(error)}") from error
    except (StoreError, OSError) as error:
        raise ImageError(ErrorCode.NOT_READABLE, f"{store} refuses: {explain_refusal(error)}") from error
