"""Findings of checks: a condition, what was seen, and how to fix it."""

from dataclasses import dataclass
from enum import StrEnum


class Condition(StrEnum):
    """The result of a check. A `warning` still works, but may soon fail; `unknown` could not be checked."""

    WELL = "well"
    WARNING = "warning"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked, the condition, what was seen in one line, and the fix, "" if none is needed."""

    subject: str
    condition: Condition
    seen: str
    mend: str = ""


def well(subject: str, seen: str) -> Finding:
    """Return a finding that needs no fix."""
    return Finding(subject, Condition.WELL, seen)


def warn(subject: str, seen: str, mend: str) -> Finding:
    """Return a finding about something that works, but may soon fail."""
    return Finding(subject, Condition.WARNING, seen, mend)


def wrong(subject: str, seen: str, mend: str) -> Finding:
    """Return a finding about something that does not work."""
    return Finding(subject, Condition.WRONG, seen, mend)


def unknown(subject: str, seen: str) -> Finding:
    """Return a finding about something that could not be checked, because something else is wrong."""
    return Finding(subject, Condition.UNKNOWN, seen)
