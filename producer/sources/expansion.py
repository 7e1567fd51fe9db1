"""From what a person names on the command line to references: files, folders, globs, lists and archives.

A reference is a URI in ASCII, whatever bytes the file name has: `file:///…` with its path percent-encoded, or
`blob://SHA256/NAME` for bytes that were stored on submission. What cannot be read is a reference all the same:
the worker's verdict then says why.
"""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO
from urllib.parse import quote, quote_from_bytes, unquote, urlsplit

from producer.chain.sources import expand_chain_source, is_chain_source
from producer.sources.archives import is_archive
from producer.sources.folders import walk_files
from producer.sources.storing import BlobWriter, store_members
from producer.sources.unpacking import read_limits, unpack
from storage.settings import Settings

# Characters that have a meaning in a URI and stay as they are; everything else unusual is encoded.
URI_CHARACTERS = ":/?#[]@!$&'()*+,;=%~-._"

IS_URI = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://")


class SourceError(Exception):
    """A source that names nothing, or too much; the message is for the person who named it."""


def refer_to_file(path: bytes) -> str:
    """Return the reference of a file; the path becomes absolute."""
    return "file://" + quote_from_bytes(os.path.abspath(path))  # noqa: PTH100 - pathlib cannot hold bytes


class Sources:
    """Expands sources into references, one by one; archive members go into `blobs` as they are met, some at once."""

    def __init__(self, blobs: BlobWriter, settings: Settings) -> None:
        self._blobs = blobs
        self._settings = settings

    def from_arguments(self, arguments: Sequence[str], stdin: BinaryIO, *, separator: bytes = b"\n") -> Iterator[str]:
        """Yield the references of command line arguments; `-` reads names from `stdin`.

        Raises SourceError where an argument names nothing, and ChainError where no node has what it names. Names in a
        list are not checked: those that are not there become `not_found` verdicts.
        """
        for argument in arguments:
            if argument == "-":
                yield from self.from_list(stdin, separator)
            elif is_chain_source(argument):
                yield from expand_chain_source(argument, self._blobs, self._settings)
            elif IS_URI.match(os.fsencode(argument)):
                yield quote_from_bytes(os.fsencode(argument), safe=URI_CHARACTERS)
            else:
                yield from self._from_argument(argument)

    def from_list(self, stream: BinaryIO, separator: bytes = b"\n") -> Iterator[str]:
        """Yield the references of the names in a stream."""
        for name in split(stream, separator):
            if IS_URI.match(name):
                yield quote_from_bytes(name, safe=URI_CHARACTERS)
            elif name:
                yield from self._from_path(name)

    def _from_argument(self, argument: str) -> Iterator[str]:
        path = os.fsencode(argument)
        if os.path.lexists(path):
            yield from self._from_path(path)
            return
        matches = sorted(glob.glob(path, recursive=True)) if glob.has_magic(path) else []  # noqa: PTH207
        if not matches:
            what = "nothing matches" if glob.has_magic(path) else "there is no file or folder"
            raise SourceError(f"{what} {argument!r}")
        if b"**" in path:
            # It matches folders and all that is in them: entering the folders too would give every file twice.
            matches = [match for match in matches if not os.path.isdir(match)] or matches  # noqa: PTH112
        for match in matches:
            yield from self._from_path(match)

    def _from_path(self, path: bytes) -> Iterator[str]:
        if not os.path.isdir(path):  # noqa: PTH112 - pathlib cannot hold bytes
            yield from self.from_file(path)
            return
        for below in walk_files(path):
            yield from self.from_file(below)

    def from_file(self, path: bytes) -> Iterator[str]:
        """Yield the reference of a file, or of the members of an archive; raises ArchiveTooLargeError."""
        if is_archive(path) and os.path.isfile(path):  # noqa: PTH113
            yield from self.from_archive(path)
        else:
            yield refer_to_file(path)

    def from_archive(self, path: bytes, archive: str | None = None) -> Iterator[str]:
        """Yield the references of an archive's members; `archive` stands for the file itself in those of damaged ones.

        Raises ArchiveTooLargeError.
        """
        archive = archive or refer_to_file(path)
        label = quote_from_bytes(os.path.basename(path))  # noqa: PTH119
        for member, digest in store_members(self._blobs, unpack(path, read_limits(self._settings))):
            if member.name is None:
                yield archive
            elif digest is None:
                yield f"{archive}#{quote(member.name, errors='surrogateescape')}"
            else:
                yield f"blob://{digest}/{label}/{quote(member.name.lstrip('/'), errors='surrogateescape')}"


def split(stream: BinaryIO, separator: bytes) -> Iterator[bytes]:
    """Yield what stands between separators; a line may end in CR LF."""
    if separator == b"\n":
        for line in stream:
            yield line.rstrip(b"\r\n")
        return
    rest = b""
    while piece := stream.read(65536):
        *names, rest = (rest + piece).split(separator)
        yield from names
    yield rest


def format_reference(uri: str) -> str:
    """Return the reference as people know it: a path as it stands in the file system, other URIs unchanged."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return uri
    if parts.scheme == "file":
        return unquote(parts.path) + (f"#{unquote(parts.fragment)}" if parts.fragment else "")
    if parts.scheme == "blob":
        return unquote(parts.path.lstrip("/")) or uri
    return uri
