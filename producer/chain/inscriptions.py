"""The images inscribed in a block or transaction, read by a process of its own as archives are.

What a node sends was written by anybody in the world: see `producer.sources.unpacking`, whose limits hold here too.
"""

import os
import re
from collections.abc import Generator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, cast

from producer.chain.errors import ChainError, UnreadableBlockError
from producer.chain.wanted import MAX_BLOCK_BYTES, Fault, Wanted
from producer.sources.archives import ArchiveMember, ArchiveTooLargeError
from producer.sources.unpacking import read_by_process, read_limits
from storage.settings import Settings

# Not imported: whoever reads no block needs no library for it.
READER: Final = "producer.chain.reading_process"
LIBRARIES: Final = ("btclib", "ecc", "brotli", "typing_extensions")
# The shortest envelope has seven bytes.
MAX_INSCRIPTIONS: Final = MAX_BLOCK_BYTES // 7
# What the worst block takes that can be mined: none may keep its inscriptions from being read.
MEMORY_BYTES: Final = 2**30

FAULTS: Final[dict[Fault, str]] = {
    "damaged": "it is cut or damaged",
    "another": "its hash is another",
    "changed": "it has not the transactions that its header commits to",
    "stripped": "its witnesses are left out, which have the inscriptions",
    "misplaced": "it says itself that it has another height",
}
NAME: Final = re.compile(r"([0-9a-f]{64}:i[0-9]{1,7}) (image|delegate|other)")

InscriptionKind = Literal["image", "delegate", "other"]


@dataclass(frozen=True, slots=True)
class Inscribed:
    """One inscription by its name, `TXID:iN`; `data` is an image's, None where it decodes to too much.

    One that shows what another has, and has nothing itself, is a `delegate`. What is no image has no data.
    """

    name: str
    kind: InscriptionKind
    data: bytes | None

    @property
    def number(self) -> int:
        """Return which of its transaction's inscriptions it is, from 0."""
        return int(self.name.rpartition(":i")[2])


def read_inscribed(sent: bytes, wanted: Wanted, settings: Settings) -> Generator[Inscribed]:
    """Yield the inscriptions of what a node sent; raises ChainError where it is not what was wanted, or too much."""
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
        members = read_by_process(file, label, limits, READER, [wanted.kind, wanted.id, height], *find_libraries())
        try:
            for member in members:
                yield _describe(member, label)
        except ArchiveTooLargeError as error:
            raise UnreadableBlockError(f"{label} {error.what}: raise {error.settings}") from error


def find_libraries() -> list[str]:
    """Return the folders of the libraries that the process needs."""
    origins = [spec.origin for name in LIBRARIES if (spec := find_spec(name)) and spec.origin]
    # A package's origin is a file in its folder.
    return [str(path.parent.parent if path.name == "__init__.py" else path.parent) for path in map(Path, origins)]


def _describe(member: ArchiveMember, label: str) -> Inscribed:
    if member.name is None:
        fault = cast(Fault, (member.data or b"").decode("ascii", "replace"))
        if fault not in FAULTS:
            raise UnreadableBlockError(f"{label} ended the process that read it: the log says how")
        raise ChainError(f"the node does not send {label}: what comes is not it, for {FAULTS[fault]}")
    found = NAME.fullmatch(member.name)
    if found is None:
        raise ChainError(f"{label} cannot be read: its reader talks nonsense")
    return Inscribed(found[1], cast(InscriptionKind, found[2]), member.data)
