"""Checks messages from any broker against the schema; what is not ours is logged in one line and dropped."""

import logging

from pydantic import ValidationError

from worker.task_description import check_description
from worker.task_shape import Broadcast, Task

log = logging.getLogger(__name__)


def read_task(raw: bytes, what: str) -> Task | None:
    """Return the checked fields of a message, called `what` in the log; None if it is no task of ours."""
    try:
        task = Task.model_validate_json(raw)
    except ValidationError as error:
        log_dropped(what, error)
        return None
    task.headers.argsrepr = check_description(task.headers.argsrepr, task.body[0][0])
    return task


def is_broadcast(raw: bytes, what: str) -> bool:
    """Whether this is a command of `celery control` or Flower; otherwise log it as `what`."""
    try:
        Broadcast.model_validate_json(raw)
    except ValidationError as error:
        log_dropped(what, error)
        return False
    return True


def log_dropped(what: str, error: ValidationError) -> None:
    """Log that a message was dropped, without quoting it."""
    # Neither the error's text nor deeper keys are logged: both quote the message.
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"][:2]) or "its start"
    log.warning("dropped %s, which is not ours: %s at %s", what, first["type"], where)
