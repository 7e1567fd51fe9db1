"""Checks with their promises, measured figures and results."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import httpx

from starlight_client import RefusedError, UnreadableAnswerError


class Result(StrEnum):
    """The result of a check."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class NotCheckedError(Exception):
    """A check is not possible here; the message says why."""


@dataclass(slots=True)
class Check:
    """One check: its promise, result, measured figures, and failures in `otherwise`."""

    name: str
    promise: str
    result: Result = Result.PASSED
    figures: dict[str, Any] = field(default_factory=dict)
    otherwise: list[str] = field(default_factory=list)

    def expect(self, holds: bool, failure: str) -> None:
        """Record a failure unless the condition `holds`."""
        if not holds:
            self.otherwise.append(failure)


class Checklist:
    """Runs checks one after another and records their results, even if one of them raises an error."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.checks: list[Check] = []
        self._tell = tell

    def make(self, name: str, promise: str, work: Callable[[Check], None]) -> None:
        """Run a check: `work` records figures and failures in it."""
        check = Check(name, promise)
        try:
            work(check)
        except NotCheckedError as error:
            check.result, check.otherwise = Result.SKIPPED, [str(error)]
        except (httpx.HTTPError, RefusedError, UnreadableAnswerError) as error:
            check.otherwise.append(f"{type(error).__name__}: {error}")
        if check.otherwise and check.result is Result.PASSED:
            check.result = Result.FAILED
        self.checks.append(check)
        self._tell(f"{check.result:<8}{name}: {'; '.join(check.otherwise[:3]) or promise}")

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return any(check.result is Result.FAILED for check in self.checks)

    def report(self) -> list[dict[str, Any]]:
        """Return all checks as plain data for JSON."""
        return [asdict(check) for check in self.checks]
