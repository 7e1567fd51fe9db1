"""The log line about a message that is not ours."""

import logging

from pydantic import ValidationError

log = logging.getLogger(__name__)


def log_dropped(what: str, error: ValidationError | TypeError) -> None:
    """Log that a message was dropped, without quoting it."""
    if isinstance(error, TypeError):
        log.warning("dropped %s, which is not ours: its headers are not JSON", what)
        return
    # Neither the error's text nor deeper keys are logged: both quote the message.
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"][:2]) or "its start"
    log.warning("dropped %s, which is not ours: %s at %s", what, first["type"], where)
