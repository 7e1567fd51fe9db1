"""Posting to an address that somebody named: to a public one alone, in time, and without reading the answer."""

from collections.abc import Mapping

import httpcore

from storage.deadline import Deadline
from storage.public_network import CONNECTION_ERRORS, explain_failure


class UnansweredError(Exception):
    """No status came; the message says why, without what the receiver said."""


def post(pool: httpcore.ConnectionPool, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> int:
    """Return the status of the answer; raises UnansweredError where none comes within so many seconds."""
    deadline = Deadline(timeout_s)
    try:
        # Streamed and left unread: how much a receiver answers is not our concern.
        with (
            deadline,
            deadline.awaiting_head(),
            pool.stream("POST", url, content=body, headers=list(headers.items())) as answer,
        ):
            return int(answer.status)
    except (*CONNECTION_ERRORS, httpcore.UnsupportedProtocol, ValueError) as error:
        raise UnansweredError(f"{type(error).__name__}: {explain_failure(error)}") from error
