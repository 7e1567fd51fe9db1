"""Archives as sources: recognised by name, read as members."""

from dataclasses import dataclass

from starlight_vocabulary.formats import ArchiveFormat

ZIP_SUFFIXES = tuple(suffix.encode() for suffix in ArchiveFormat.ZIP.suffixes)
SUFFIXES = tuple(suffix.encode() for each in ArchiveFormat for suffix in each.suffixes)


class ArchiveTooLargeError(Exception):
    """The archive exceeds a limit of the settings; `reason` names it without the path of the archive."""

    def __init__(self, path: str, what: str, settings: str) -> None:
        self.what = what
        self.settings = settings
        self.reason = f"{what}: unpack it yourself, or raise {settings}"
        super().__init__(f"{path!r} {self.reason}")


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """One file of an archive. `data` is None if it cannot be read, or if a `span` is given.

    The `span` is the offset and size of the file in an archive that is read in place. If `name` is None, the archive
    itself cannot be read any further; `data` is then the reason, if there is one.
    """

    name: str | None
    data: bytes | None
    span: tuple[int, int] | None = None


def is_archive(name: bytes) -> bool:
    """Whether a file of this name is treated as an archive."""
    return name.lower().endswith(SUFFIXES)


def is_zip(name: bytes) -> bool:
    """Whether an archive of this name is treated as a ZIP; the others are tars."""
    return name.lower().endswith(ZIP_SUFFIXES)
