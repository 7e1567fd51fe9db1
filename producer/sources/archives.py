"""Archives as sources know them: by their names, and as the files in them."""

from dataclasses import dataclass

from starlight_vocabulary.formats import ArchiveFormat

ZIP_SUFFIXES = tuple(suffix.encode() for suffix in ArchiveFormat.ZIP.suffixes)
SUFFIXES = tuple(suffix.encode() for each in ArchiveFormat for suffix in each.suffixes)


class ArchiveTooLargeError(Exception):
    """An archive with more in it, or that takes more to unpack, than the settings allow; `reason` names them."""

    def __init__(self, path: str, what: str, settings: str) -> None:
        self.what = what
        self.settings = settings
        self.reason = f"{what}: unpack it yourself, or raise {settings}"
        super().__init__(f"{path!r} {self.reason}")


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """One file of an archive; `data` is None where it cannot be read, `name` where the archive itself cannot.

    Of such an archive `data` is what its reader says of it, if it says anything.
    A `span` is where the file's bytes stand in the archive, start and size, where it is read in place.
    """

    name: str | None
    data: bytes | None
    span: tuple[int, int] | None = None


def is_archive(name: bytes) -> bool:
    """Whether a file of this name is taken for an archive."""
    return name.lower().endswith(SUFFIXES)


def is_zip(name: bytes) -> bool:
    """Whether an archive of this name is taken for a ZIP; the others are tars."""
    return name.lower().endswith(ZIP_SUFFIXES)
