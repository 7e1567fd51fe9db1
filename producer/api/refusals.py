"""What the log says of requests that are refused: who asked for what, and nothing that is secret."""

import logging

from starlette.types import Scope

# Of those that a wrong key, a missing right, a foreign name or a limit causes.
STATUSES = (401, 403, 413, 421, 429)
# Of a path, which strangers choose.
SHOWN_CHARACTERS = 200

log = logging.getLogger(__name__)


def log_refusal(scope: Scope, status: int) -> None:
    """Write a line where the request is answered with a refusal; a key is told by its prefix, once it is found.

    The message differs by status alone, so that what is held back of many is counted for each.
    """
    if status not in STATUSES:
        return
    key = scope["state"].get("key")
    log.warning(
        # The status is ours.
        f"a request is refused ({status}): %s %s from %s, %s",
        scope["method"][:SHOWN_CHARACTERS],
        scope["path"][:SHOWN_CHARACTERS],
        scope["client"][0] if scope["client"] else "a socket",
        f"key {key.prefix}" if key else "no key",
    )
