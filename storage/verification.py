"""Verification of a job's verdicts against its seal, and the list of differences."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, text

from starlight_vocabulary.answers import Verification
from storage.database import connect_to_read
from storage.seals import KEPT_BYTES, LEAVES, PIECE, PIECES, ROOT, VERDICTS_AT_ONCE

# The maximum number of ordinals listed per kind of difference.
NAMED = 1000


class SealError(ValueError):
    """The job cannot be verified; the message says why."""


# The state of a seal.
FIND_SEAL = text("""
    SELECT finished_at IS NOT NULL AS ended, sealed, root, verdicts, sealed_at
    FROM jobs LEFT JOIN seals ON job_id = id WHERE id = :id
""")

# The root of the stored pieces.
MAKE_ROOT = text(f"SELECT {ROOT} FROM seal_pieces WHERE job_id = :id")

# Pieces that differ from the sealed ones, or exist on one side only.
FIND_DIFFERING = text(f"""
    WITH there AS MATERIALIZED ({PIECES})
    SELECT coalesce(sealed.first_ordinal, there.first_ordinal) AS first_ordinal, coalesce(sealed.leaves, '') AS leaves
    FROM (
        SELECT * FROM seal_pieces WHERE job_id = ANY(:ids) AND first_ordinal >= :first AND first_ordinal < :end
    ) AS sealed FULL JOIN there ON there.first_ordinal = sealed.first_ordinal
    WHERE there.digest IS DISTINCT FROM sealed.digest ORDER BY 1
""")

# Verdicts after the last piece.
LIST_BEHIND = text("SELECT ordinal FROM verdicts WHERE job_id = :id AND ordinal >= :end ORDER BY ordinal LIMIT :limit")
COUNT_BEHIND = text("SELECT count(*) FROM verdicts WHERE job_id = :id AND ordinal >= :end")

# The current leaves of a piece.
LIST_LEAVES = text(f"SELECT ordinal, substr(leaf, 1, {KEPT_BYTES}) AS kept FROM ({LEAVES}) AS leaves ORDER BY ordinal")

# The next sealed job.
NEXT_SEALED = text("SELECT id FROM jobs WHERE id > :after AND sealed ORDER BY id LIMIT 1")
FIRST_ID = uuid.UUID(int=0)


@dataclass(slots=True)
class _Differences:
    """The differences found so far."""

    count: int = 0
    changed: list[int] = field(default_factory=list)
    added: list[int] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    unclear: list[int] = field(default_factory=list)

    def note(self, kind: list[int], ordinal: int) -> None:
        self.count += 1
        if len(kind) < NAMED:
            kind.append(ordinal)

    def compare(self, first: int, sealed: bytes, there: dict[int, bytes]) -> None:
        """Add the differences in a piece: `sealed` has the concatenated leaves, `there` the current ones by ordinal."""
        before = self.count
        kept = {first + place: sealed[KEPT_BYTES * place :][:KEPT_BYTES] for place in range(len(sealed) // KEPT_BYTES)}
        for ordinal in sorted(kept.keys() | there.keys()):
            if ordinal not in there:
                self.note(self.deleted, ordinal)
            elif ordinal not in kept:
                self.note(self.added, ordinal)
            elif kept[ordinal] != there[ordinal]:
                self.note(self.changed, ordinal)
        if self.count == before:
            self.note(self.unclear, first)


def verify_job(engine: Engine, job_id: uuid.UUID) -> Verification:
    """Compare the verdicts of a job with its seal, piece by piece, in constant memory.

    Raises SealError if the job does not exist or has no seal.
    """
    with connect_to_read(engine) as connection:
        seal = connection.execute(FIND_SEAL, {"id": job_id}).one_or_none()
        if seal is None:
            raise SealError(f"there is no job {job_id}; if it was purged, so was its seal")
        if not seal.ended:
            raise SealError(f"job {job_id} has not ended yet, and is sealed after that")
        if seal.sealed is None:
            raise SealError(f"job {job_id} ended before seals existed: its original verdicts are unknown")
        if not seal.sealed:
            raise SealError(f"job {job_id} is not sealed yet: a dispatcher does so within seconds of its end")
        if seal.root is None:
            raise SealError(f"job {job_id} was sealed, and its seal is missing")
        found = _compare(connection, job_id, -(-seal.verdicts // PIECE) * PIECE)
        is_whole = connection.execute(MAKE_ROOT, {"id": job_id}).scalar_one() == seal.root
    return Verification(
        job_id=job_id,
        intact=is_whole and not found.count,
        root=seal.root.hex(),
        sealed_at=seal.sealed_at,
        verdicts=seal.verdicts,
        differences=found.count,
        changed=found.changed,
        added=found.added,
        deleted=found.deleted,
        unclear=found.unclear,
        seal_intact=is_whole,
    )


def _compare(connection: Connection, job_id: uuid.UUID, end: int) -> _Differences:
    """Return the differences in a job whose pieces end at this ordinal."""
    found = _Differences()
    for first in range(0, end, VERDICTS_AT_ONCE):
        part = {"ids": [job_id], "first": first, "end": min(end, first + VERDICTS_AT_ONCE)}
        for piece in connection.execute(FIND_DIFFERING, part).all():
            place = {"ids": [job_id], "first": piece.first_ordinal, "end": piece.first_ordinal + PIECE}
            there = {row.ordinal: bytes(row.kept) for row in connection.execute(LIST_LEAVES, place)}
            found.compare(piece.first_ordinal, bytes(piece.leaves), there)
    behind = {"id": job_id, "end": end, "limit": NAMED - len(found.added)}
    found.added += connection.execute(LIST_BEHIND, behind).scalars()
    found.count += int(connection.execute(COUNT_BEHIND, behind).scalar_one())
    return found


def list_sealed_jobs(engine: Engine) -> Iterator[uuid.UUID]:
    """Yield the sealed jobs, oldest first."""
    after: uuid.UUID | None = FIRST_ID
    while True:
        with connect_to_read(engine) as connection:
            after = connection.execute(NEXT_SEALED, {"after": after}).scalar()
        if after is None:
            return
        yield after
