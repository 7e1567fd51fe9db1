"""The manifest of an export, `_manifest.json`: what was requested, the progress, and the files."""

import json
import uuid
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from starlight_vocabulary.exports import MANIFEST, ExportedPart
from starlight_vocabulary.verdict import VERDICT_KEYS
from storage.verdict_search import Position, VerdictFilter


class ExportError(ValueError):
    """The export cannot continue; the message says why and what to do."""


@dataclass(slots=True)
class Manifest:
    """The state of an export. It continues only if the same is requested again as `asked` says. `until` is its end.

    `next` is the position of the last exported verdict. `writing` is the path of a file that may be incomplete.
    """

    asked: dict[str, Any]
    until: datetime
    columns: list[str] = field(default_factory=lambda: list(VERDICT_KEYS))
    complete: bool = False
    rows: int = 0
    next: Position | None = None
    writing: str | None = None
    files: list[ExportedPart] = field(default_factory=list)

    def to_json(self) -> bytes:
        """Return the file's content."""
        position = self.next and {
            "scanned_at": self.next.scanned_at.isoformat(), "job_id": str(self.next.job_id),
            "ordinal": self.next.ordinal,
        }  # fmt: skip
        written = {
            "complete": self.complete, "rows": self.rows, "asked": self.asked, "until": self.until.isoformat(),
            "columns": self.columns, "next": position, "writing": self.writing,
            "files": [asdict(each) for each in self.files],
        }  # fmt: skip
        return (json.dumps(written, indent=1) + "\n").encode("ascii")

    @classmethod
    def from_json(cls, data: bytes) -> "Manifest":
        """Parse a manifest; raises ExportError if it is not one of ours."""
        try:
            read = json.loads(data)
            position = read["next"]
            return cls(
                asked=read["asked"],
                until=datetime.fromisoformat(read["until"]),
                columns=read["columns"],
                complete=read["complete"],
                rows=read["rows"],
                next=position
                and Position(
                    datetime.fromisoformat(position["scanned_at"]), uuid.UUID(position["job_id"]), position["ordinal"]
                ),
                writing=read["writing"],
                files=[ExportedPart(**each) for each in read["files"]],
            )
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ExportError(
                f"the {MANIFEST} there is not the manifest of an export ({error}): choose another target"
            ) from None

    def check(self, asked: dict[str, Any]) -> None:
        """Raise ExportError unless this export has the same options and the columns of this release."""
        differing = [name for name in asked if asked[name] != self.asked.get(name)]
        if differing:
            raise ExportError(
                f"the export there differs in {', '.join(differing)}: use the same options, or choose another target"
            )
        if self.columns != list(VERDICT_KEYS):
            raise ExportError("the export there has the columns of another release: choose another target")


def describe_options(wanted: VerdictFilter, file_format: str, partition_by: str | None) -> dict[str, Any]:
    """Return the options of an export as a manifest stores them."""
    return {
        "format": file_format, "partition_by": partition_by, "outcome": wanted.outcome, "method": wanted.method,
        "since": wanted.since and wanted.since.isoformat(), "until": wanted.until and wanted.until.isoformat(),
        "job_id": wanted.job_id and str(wanted.job_id), "submitter": wanted.submitter,
        "sha256": wanted.sha256, "error_codes": list(wanted.error_codes) if wanted.error_codes else None,
        "min_probability": wanted.min_probability, "max_probability": wanted.max_probability, "words": wanted.words,
        "part": wanted.part, "inscription": wanted.inscription, "model": wanted.model,
    }  # fmt: skip
