"""Expanding sources that a person names into references: files, folders, globs, lists, archives and URIs.

A reference is a URI in ASCII, whatever bytes the file name has: `file:///…` with a percent-encoded path, or
`blob://SHA256/NAME` for bytes that were stored on submission. A file that cannot be read becomes a reference too: the
worker's verdict says why.
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
from storage.settings import Settings
from storage.spans import Span, describe_version, read_span, refer_to_span
from storage.submission import ListedObject, Reference

# Reserved characters of URIs, which are not percent-encoded.
URI_CHARACTERS = ":/?#[]@!$&'()*+,;=%~-._"

IS_URI = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://")


def refer_to_file(path: bytes) -> str:
    """Return the `file://` reference of a file, with its absolute path."""
    return "file://" + quote_from_bytes(os.path.abspath(path))  # noqa: PTH100 - pathlib cannot hold bytes


class Sources:
    """Expands sources into references, one by one; archive members are stored in `blobs` in groups.

    Only names below a source that match the `selection` are taken. If `known` is given, the sources must be prefixes of
    buckets, and objects whose version is known are skipped. Without `lists_prefixes`, a prefix or an archive in a
    bucket is yielded as it is, for the caller to expand. With `in_place`, archive members that are stored uncompressed
    become spans instead of blobs.
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
        """`check` returns a reference of a manifest as it is stored, and raises SourceError if it is not permitted."""
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

        Raises SourceError if an argument matches nothing, and ChainError if a chain source cannot be read. Names in a
        list are not checked, except those of the chain: files that do not exist become `not_found` verdicts.
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
        """Yield the references of the names in a stream; raises ChainError if a chain source cannot be read."""
        for name in split_names(stream, separator):
            if is_chain_source(named := os.fsdecode(name)):
                yield from expand_chain_source(named, self._blobs, self._settings)
            elif IS_URI.match(name):
                yield from self._from_uri(quote_from_bytes(name, safe=URI_CHARACTERS))
            elif name:
                yield from self._from_path(name)

    def from_manifest(self, name: str, column: str | None, stdin: BinaryIO) -> Iterator[str]:
        """Yield the references in a manifest, one per row; images in it become blobs.

        Raises SourceError if it cannot be read, and SourceAwayError.
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
            raise SourceError(f"patterns do not apply to {uri} in a list with the API: name it as an argument instead")
        elif self._selection.accepts(unquote(uri.rpartition("/")[2])):
            self._refuse_since(uri)
            if self._lists_prefixes and is_in_bucket(uri) and is_archive(uri.encode()):
                yield from self._from_archive_in_bucket(uri)
            else:
                yield uri

    def from_object(self, found: ListedObject) -> Iterator[Reference]:
        """Yield a listed object, or its members if it is an archive.

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
            # `**` matches folders and everything in them: walking the folders too would yield every file twice.
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
        """Yield the reference of a file, or of the members of an archive, if they are selected.

        `name` is the path relative to the source, which the selection is matched against. Raises ArchiveTooLargeError.
        """
        if not is_selected(name, self._selection):
            return
        if is_archive(path) and os.path.isfile(path):  # noqa: PTH113
            yield from self.from_archive(path)
        else:
            yield refer_to_file(path)

    def _refuse_since(self, name: str) -> None:
        if self._known is not None:
            raise SourceError(f"only prefixes of buckets can be compared with an earlier job: {name!r} is not one")

    def from_archive(self, path: bytes, archive: str | None = None) -> Iterator[str]:
        """Yield the references of an archive's members.

        `archive` is the URI used for the archive itself and in members that cannot be read; by default that of the
        file. Raises ArchiveTooLargeError.
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


def split_names(stream: BinaryIO, separator: bytes) -> Iterator[bytes]:
    """Yield the names between separators; lines may end in CR LF."""
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
    """Return a reference in readable form: files as plain paths, blobs as their names, other URIs unchanged."""
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
