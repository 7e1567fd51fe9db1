"""The images inscribed in a block or transaction, read in a separate process as archives are.

Anybody can write to the chain, so blocks are untrusted: the limits of `producer.sources.unpacking` apply here too.
"""

import os
import re
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Final, Literal, cast

from producer.chain.errors import ChainError, UnreadableBlockError
from producer.chain.wanted import MAX_BLOCK_BYTES, Fault, Wanted
from producer.sources.archive_process import find_libraries
from producer.sources.archives import ArchiveMember, ArchiveTooLargeError
from producer.sources.unpacking import read_by_process, read_limits
from storage.settings import Settings

# Named, not imported: only the process that reads blocks imports these libraries.
READER: Final = "producer.chain.reading_process"
LIBRARIES: Final = ("btclib", "ecc", "brotli", "typing_extensions")
# The shortest envelope has seven bytes.
MAX_INSCRIPTIONS: Final = MAX_BLOCK_BYTES // 7
# Enough for the largest valid block, so that no block can avoid being read.
MEMORY_BYTES: Final = 2**30

FAULTS: Final[dict[Fault, str]] = {
    "damaged": "it is cut or damaged",
    "another": "it has another hash",
    "changed": "its transactions do not match its header",
    "stripped": "its witnesses, which contain the inscriptions, are missing",
    "misplaced": "it has another height",
}
NAME: Final = re.compile(r"([0-9a-f]{64}:i[0-9]{1,7}) (image|delegate|other)")

InscriptionKind = Literal["image", "delegate", "other"]


@dataclass(frozen=True, slots=True)
class Inscribed:
    """One inscription and its name, `TXID:iN`. `data` has the bytes of an image, or None if they exceed the limits.

    A `delegate` shows another inscription and has no content. Only images have data.
    """

    name: str
    kind: InscriptionKind
    data: bytes | None

    @property
    def number(self) -> int:
        """Return its number in its transaction, counted from 0."""
        return int(self.name.rpartition(":i")[2])


def read_inscribed(sent: bytes, wanted: Wanted, settings: Settings) -> Generator[Inscribed]:
    """Yield the inscriptions of a block or transaction; raises ChainError if it is not the wanted one, or too large."""
    label = f"the {wanted.kind} {wanted.id}"
    limits = read_limits(settings)
    limits = replace(
        limits,
        max_members=MAX_INSCRIPTIONS,
        max_bytes=settings.max_inscribed_bytes + MAX_BLOCK_BYTES,
        max_memory_bytes=max(limits.max_memory_bytes, MEMORY_BYTES),
    )
    height = "-" if wanted.height is None else str(wanted.height)
    with os.fdopen(os.memfd_create("starlight-chain"), "w+b") as file:
        file.write(sent)
        file.seek(0)
        arguments, libraries = [wanted.kind, wanted.id, height], find_libraries(*LIBRARIES)
        members = read_by_process(file, label, limits, READER, arguments, *libraries)
        try:
            for member in members:
                yield _describe(member, label)
        except ArchiveTooLargeError as error:
            raise UnreadableBlockError(f"{label} {error.what}: raise {error.settings}") from error


def _describe(member: ArchiveMember, label: str) -> Inscribed:
    if member.name is None:
        fault = cast(Fault, (member.data or b"").decode("ascii", "replace"))
        if fault not in FAULTS:
            raise UnreadableBlockError(f"{label} crashed the process that read it: see the log")
        raise ChainError(f"the node sent something else instead of {label}: {FAULTS[fault]}")
    found = NAME.fullmatch(member.name)
    if found is None:
        raise ChainError(f"{label} cannot be read: the process that reads it sent an invalid name")
    return Inscribed(found[1], cast(InscriptionKind, found[2]), member.data)
