"""What a look found: whether it is well, what was seen, and how to mend what is not."""

from dataclasses import dataclass
from enum import StrEnum


class Condition(StrEnum):
    """How something is: a `warning` works, and may not for long; what is `unknown` could not be looked at."""

    WELL = "well"
    WARNING = "warning"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, what was seen in one line, and what to do, nothing where it is well."""

    subject: str
    condition: Condition
    seen: str
    mend: str = ""


def well(subject: str, seen: str) -> Finding:
    """Return that nothing is to be done."""
    return Finding(subject, Condition.WELL, seen)


def warn(subject: str, seen: str, mend: str) -> Finding:
    """Return what works, and may not for long."""
    return Finding(subject, Condition.WARNING, seen, mend)


def wrong(subject: str, seen: str, mend: str) -> Finding:
    """Return what does not work."""
    return Finding(subject, Condition.WRONG, seen, mend)


def unknown(subject: str, seen: str) -> Finding:
    """Return what could not be looked at, because something else is wrong."""
    return Finding(subject, Condition.UNKNOWN, seen)
