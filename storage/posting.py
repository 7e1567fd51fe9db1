"""Posting to a URL that somebody named: only to public addresses, within a timeout, without reading the response."""

from collections.abc import Mapping

import httpcore

from storage.deadline import Deadline
from storage.public_network import CONNECTION_ERRORS, explain_failure


class UnansweredError(Exception):
    """There was no response; the message says why, without anything that the receiver said."""


def post(pool: httpcore.ConnectionPool, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> int:
    """Return the status of the response; raises UnansweredError if none arrives within so many seconds."""
    deadline = Deadline(timeout_s)
    try:
        # The response is not read, because its size is up to the receiver.
        with (
            deadline,
            deadline.awaiting_head(),
            pool.stream("POST", url, content=body, headers=list(headers.items())) as answer,
        ):
            return int(answer.status)
    except (*CONNECTION_ERRORS, httpcore.UnsupportedProtocol, ValueError) as error:
        raise UnansweredError(f"{type(error).__name__}: {explain_failure(error)}") from error
