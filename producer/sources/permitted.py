"""Checking which references an API key may submit."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from producer.sources.errors import SourceError
from producer.sources.expansion import refer_to_file
from starlight_vocabulary.job import MAX_REFERENCE
from storage.buckets import BUCKET_NAMES, HAS_MARKS, Location, read_location

REMOTE = ("https", *BUCKET_NAMES)


class ForbiddenError(SourceError):
    """The reference is not permitted; the message says why, without the reference."""


class Permitted:
    """The references that may be submitted: files below `roots`, `https://`, and locations that `may_name` accepts."""

    def __init__(self, roots: Sequence[Path], may_name: Callable[[Location], bool]) -> None:
        self._real_roots = [os.fsencode(root.resolve()) for root in roots]
        self._may_name = may_name

    def check(self, reference: str) -> str:
        """Return the reference as it is stored; raises ForbiddenError.

        `file://` references must lie under one of the roots, after their links are resolved; they are stored resolved.
        """
        if len(reference) > MAX_REFERENCE or not reference.isascii() or not reference.isprintable():
            raise ForbiddenError(f"must be a URI in printable ASCII of at most {MAX_REFERENCE} characters")
        try:
            parts = urlsplit(reference)
            hostname = parts.hostname
        except ValueError as error:
            raise ForbiddenError(f"is not a URI: {error}") from error
        if parts.scheme == "file" and (parts.query or parts.fragment):
            raise ForbiddenError(HAS_MARKS)
        if parts.scheme == "file":
            return self._resolve_file(unquote_to_bytes(parts.path), parts.netloc)
        if parts.scheme not in REMOTE or not hostname:
            raise ForbiddenError(f"must be one of {', '.join(f'{scheme}://…' for scheme in (*REMOTE, 'file'))}")
        if parts.username is not None or parts.password is not None:
            raise ForbiddenError("must not carry a user name or password")
        if parts.scheme in BUCKET_NAMES:
            self.locate(reference)
        return reference

    def locate(self, reference: str) -> Location:
        """Return the bucket location that a reference names; raises ForbiddenError."""
        try:
            location = read_location(reference)
        except ValueError as error:
            raise ForbiddenError(str(error)) from error
        if not self._may_name(location):
            raise ForbiddenError("is outside the buckets of this key, which `starlight keys create --bucket` sets")
        return location

    def _resolve_file(self, path: bytes, host: str) -> str:
        if not self._real_roots:
            raise ForbiddenError("file:// references are not accepted here: STARLIGHT_API_ROOTS is not set")
        if host not in ("", "localhost") or not path.startswith(b"/") or b"\0" in path:
            raise ForbiddenError("must name a file of this machine by its absolute path: file:///…")
        # The resolved path is stored: links that change after this check are not followed.
        real = os.path.realpath(path)
        if not any(real.startswith(root.rstrip(b"/") + b"/") for root in self._real_roots):
            raise ForbiddenError("is outside the folders of STARLIGHT_API_ROOTS")
        return refer_to_file(real)
