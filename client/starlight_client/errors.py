"""What goes wrong beside the network, for which httpx has its own errors."""

from collections.abc import Mapping
from typing import Any


class RefusedError(Exception):
    """A request that the API refused; `problem` is the problem document, `status` its HTTP status."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}".rstrip(": "))
        self.status = status
        self.problem = problem


class UnreadableAnswerError(Exception):
    """An answer that this version cannot read: of another program, or of a release that changed the interface."""
