"""Results of checks: a condition, what was seen, and how to fix it."""

from dataclasses import dataclass
from enum import StrEnum


class Condition(StrEnum):
    """The result of a check. A `warning` still works, but may soon fail; `unknown` could not be checked."""

    WELL = "well"
    WARNING = "warning"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What was checked, the condition, what was seen in one line, and the fix, "" if none is needed."""

    subject: str
    condition: Condition
    seen: str
    mend: str = ""


def well(subject: str, seen: str) -> CheckResult:
    """Return the result for what needs no fix."""
    return CheckResult(subject, Condition.WELL, seen)


def warn(subject: str, seen: str, mend: str) -> CheckResult:
    """Return the result for what works, but may soon fail."""
    return CheckResult(subject, Condition.WARNING, seen, mend)


def wrong(subject: str, seen: str, mend: str) -> CheckResult:
    """Return the result for what does not work."""
    return CheckResult(subject, Condition.WRONG, seen, mend)


def unknown(subject: str, seen: str) -> CheckResult:
    """Return the result for what could not be checked, because something else is wrong."""
    return CheckResult(subject, Condition.UNKNOWN, seen)
