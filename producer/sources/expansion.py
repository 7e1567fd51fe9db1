"""From what a person names on the command line to references: files, folders, globs, lists and archives.

A reference is a URI in ASCII, whatever bytes the file name has: `file:///…` with its path percent-encoded, or
`blob://SHA256/NAME` for bytes that were stored on submission. What cannot be read is a reference all the same:
the worker's verdict then says why.
"""

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import BinaryIO, cast
from urllib.parse import quote, quote_from_bytes, unquote, urlsplit

from producer.chain.sources import expand_chain_source, is_chain_source
from producer.sources.archives import ArchiveMember, is_archive
from producer.sources.bucket_archives import BucketArchive
from producer.sources.errors import SourceError
from producer.sources.folders import walk_files
from producer.sources.known_versions import KnownVersions, describe_member_version
from producer.sources.listing import list_prefix, read_prefix
from producer.sources.manifests import Manifest
from producer.sources.selection import EVERYTHING, Selection, is_selected
from producer.sources.storing import BlobWriter, store_members
from producer.sources.unpacking import read_limits, unpack, unpack_remote
from storage.buckets import is_in_bucket, is_prefix
from storage.jobs import ListedObject, Reference
from storage.settings import Settings
from storage.spans import Span, describe_version, read_span, refer_to_span

# Characters that have a meaning in a URI and stay as they are; everything else unusual is encoded.
URI_CHARACTERS = ":/?#[]@!$&'()*+,;=%~-._"

IS_URI = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://")


def refer_to_file(path: bytes) -> str:
    """Return the reference of a file; the path becomes absolute."""
    return "file://" + quote_from_bytes(os.path.abspath(path))  # noqa: PTH100 - pathlib cannot hold bytes


class Sources:
    """Expands sources into references, one by one; archive members go into `blobs` as they are met, some at once.

    Of what lies below what is named, the `selection` is taken. Where there are `known` objects, only such are, and only
    those that changed. Unless it `lists_prefixes`, those of buckets are references, for somebody else to list.
    """

    def __init__(
        self,
        blobs: BlobWriter,
        settings: Settings,
        selection: Selection = EVERYTHING,
        known: KnownVersions | None = None,
        *,
        lists_prefixes: bool = True,
        in_place: bool = False,
        check: Callable[[str], str] = lambda uri: uri,
    ) -> None:
        """Take what returns the reference that a manifest may name, and raises SourceError for others."""
        self._blobs = blobs
        self._settings = settings
        self._selection = selection
        self._known = known
        self._lists_prefixes = lists_prefixes
        self._in_place = in_place
        self._check = check

    def from_arguments(
        self, arguments: Sequence[str], stdin: BinaryIO, *, separator: bytes = b"\n"
    ) -> Iterator[Reference]:
        """Yield the references of command line arguments; `-` reads names from `stdin`.

        Raises SourceError where an argument names nothing, and ChainError where no node has what it names. Names in a
        list are not checked, but those of the chain: those that are not there become `not_found` verdicts.
        """
        for argument in arguments:
            if argument == "-":
                yield from self.from_list(stdin, separator)
            elif is_chain_source(argument):
                yield from expand_chain_source(argument, self._blobs, self._settings)
            elif IS_URI.match(os.fsencode(argument)):
                yield from self._from_uri(quote_from_bytes(os.fsencode(argument), safe=URI_CHARACTERS))
            else:
                yield from self._from_argument(argument)

    def from_list(self, stream: BinaryIO, separator: bytes = b"\n") -> Iterator[Reference]:
        """Yield the references of the names in a stream; raises ChainError where no node has what is named."""
        for name in split(stream, separator):
            if is_chain_source(named := os.fsdecode(name)):
                yield from expand_chain_source(named, self._blobs, self._settings)
            elif IS_URI.match(name):
                yield from self._from_uri(quote_from_bytes(name, safe=URI_CHARACTERS))
            elif name:
                yield from self._from_path(name)

    def from_manifest(self, name: str, column: str | None, stdin: BinaryIO) -> Iterator[str]:
        """Yield the references of what a manifest has, one a row; images that are in it become blobs.

        Raises SourceError where it cannot be read, and SourceAwayError.
        """
        self._refuse_since(name)
        rows = Manifest(name, column, stdin, read_limits(self._settings), self._check).read()
        label = quote(name.rpartition("/")[2])
        for first, same in groupby(rows, key=type):
            if first is str:
                yield from filter(None, map(self._refer_to_row, cast(Iterator[str], same)))
            else:
                yield from self._refer_to_members(cast(Iterator[ArchiveMember], same), label, quote(name), "")

    def _refer_to_row(self, named: str) -> str | None:
        text = named.encode("utf-8", "surrogateescape")
        if not self._selection.accepts(named.rpartition("/")[2]):
            return None
        return self._check(quote_from_bytes(text, safe=URI_CHARACTERS) if IS_URI.match(text) else refer_to_file(text))

    def _from_uri(self, uri: str) -> Iterator[Reference]:
        if is_in_bucket(uri) and is_prefix(uri) and self._lists_prefixes:
            for found in list_prefix(read_prefix(uri), self._selection, self._known):
                yield from self.from_object(found)
        elif is_in_bucket(uri) and is_prefix(uri) and self._selection != EVERYTHING:
            raise SourceError(f"of a list, the API lists {uri} whole: name it as an argument where patterns choose")
        elif self._selection.accepts(unquote(uri.rpartition("/")[2])):
            self._refuse_since(uri)
            if self._lists_prefixes and is_in_bucket(uri) and is_archive(uri.encode()):
                yield from self._from_archive_in_bucket(uri)
            else:
                yield uri

    def from_object(self, found: ListedObject) -> Iterator[Reference]:
        """Yield an object that was listed, or, of an archive, what is in it.

        Raises ArchiveTooLargeError, SourceError and SourceAwayError.
        """
        if is_archive(found.uri.encode()):
            yield from self._from_archive_in_bucket(found.uri)
        else:
            yield found

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
        self._refuse_since(os.fsdecode(path))
        if not os.path.isdir(path):  # noqa: PTH112 - pathlib cannot hold bytes
            yield from self.from_file(path, os.path.basename(path))  # noqa: PTH119
            return
        for below in walk_files(path):
            yield from self.from_file(below, os.path.relpath(below, path))

    def from_file(self, path: bytes, name: bytes) -> Iterator[str]:
        """Yield the reference of a file, or of the members of an archive, where they are selected.

        By `name` it is known below what was named. Raises ArchiveTooLargeError.
        """
        if not is_selected(name, self._selection):
            return
        if is_archive(path) and os.path.isfile(path):  # noqa: PTH113
            yield from self.from_archive(path)
        else:
            yield refer_to_file(path)

    def _refuse_since(self, name: str) -> None:
        if self._known is not None:
            raise SourceError(f"what changed since a job is known of objects in buckets alone: {name!r} is no prefix")

    def from_archive(self, path: bytes, archive: str | None = None) -> Iterator[str]:
        """Yield the references of an archive's members; `archive` stands for the file itself in those of damaged ones.

        Raises ArchiveTooLargeError.
        """
        try:
            version = describe_version(os.stat(path))  # noqa: PTH116 - pathlib cannot hold bytes
        except OSError:
            version = ""
        members = unpack(path, read_limits(self._settings), in_place=self._in_place)
        label = quote_from_bytes(os.path.basename(path))  # noqa: PTH119
        yield from self._refer_to_members(members, label, archive or refer_to_file(path), version)

    def _from_archive_in_bucket(self, uri: str) -> Iterator[Reference]:
        location = read_prefix(uri)
        try:
            archive = BucketArchive(location)
        except FileNotFoundError:
            yield uri
            return
        name = location.path.rpartition("/")[2]
        members = unpack_remote(name, archive, read_limits(self._settings))
        for reference in self._refer_to_members(members, quote(name), uri, archive.version):
            yield ListedObject(reference, describe_member_version(archive.version, uri))

    def _refer_to_members(
        self, members: Iterator[ArchiveMember], label: str, archive: str, version: str
    ) -> Iterator[str]:
        selected = (each for each in members if each.name is None or self._selection.accepts(each.name))
        for member, digest in store_members(self._blobs, selected):
            if member.name is None:
                yield archive
            elif member.span is not None:
                yield refer_to_span(archive, Span(*member.span, version, member.name))
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
    span = read_span(parts.fragment)
    if parts.scheme == "file":
        member = unquote(parts.fragment) if span is None else span.name
        return unquote(parts.path) + (f"#{member}" if parts.fragment else "")
    if span is not None:
        return f"{uri.partition('#')[0]}#{span.name}"
    if parts.scheme == "blob":
        return unquote(parts.path.lstrip("/")) or uri
    return uri
