"""Logging refused requests: who requested what, without secrets."""

import logging

from starlette.types import Scope

# Refusals because of a wrong key, a missing scope, a foreign host name or a limit.
STATUSES = (401, 403, 413, 421, 429)
# Longer methods and paths, which clients choose, are cut.
SHOWN_CHARACTERS = 200

log = logging.getLogger(__name__)


def log_refusal(scope: Scope, status: int) -> None:
    """Log a request that is answered with one of `STATUSES`; an authenticated key is named by its prefix.

    The message itself varies only with the status, so that suppressed repeats are counted per status.
    """
    if status not in STATUSES:
        return
    key = scope["state"].get("key")
    log.warning(
        f"a request is refused ({status}): %s %s from %s, %s",
        scope["method"][:SHOWN_CHARACTERS],
        scope["path"][:SHOWN_CHARACTERS],
        scope["client"][0] if scope["client"] else "a socket",
        f"key {key.prefix}" if key else "no key",
    )
