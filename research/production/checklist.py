"""What is checked, what came out, and whether it is what was promised."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import httpx

from starlight_client import RefusedError, UnreadableAnswerError


class Result(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class NotCheckedError(Exception):
    """A check that cannot be made here; the message says why."""


@dataclass(slots=True)
class Check:
    """One check: what was promised, how it ended, what was measured, and what was otherwise."""

    name: str
    promise: str
    result: Result = Result.PASSED
    figures: dict[str, Any] = field(default_factory=dict)
    otherwise: list[str] = field(default_factory=list)

    def expect(self, holds: bool, otherwise: str) -> None:
        """Note what is otherwise than promised unless it `holds`."""
        if not holds:
            self.otherwise.append(otherwise)


class Checklist:
    """Makes checks one after another and keeps what came of them, also of one that breaks."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.checks: list[Check] = []
        self._tell = tell

    def make(self, name: str, promise: str, work: Callable[[Check], None]) -> None:
        """Make a check: `work` notes figures and what is otherwise."""
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
        """Whether anything is otherwise than promised."""
        return any(check.result is Result.FAILED for check in self.checks)

    def report(self) -> list[dict[str, Any]]:
        """Return all checks as JSON has them."""
        return [asdict(check) for check in self.checks]
