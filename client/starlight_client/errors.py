"""Errors of the client, other than httpx's own errors for network failures."""

from collections.abc import Mapping
from typing import Any


class RefusedError(Exception):
    """The API refused a request; `problem` is the problem document, `status` the HTTP status."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}".rstrip(": "))
        self.status = status
        self.problem = problem


class UnreadableAnswerError(Exception):
    """An answer cannot be read: it is from another program, or from a release with a different interface."""
