"""Handing an inscription on to Stargate's `/api/ingest-inscription`, where that is set."""

import json
import logging
from contextlib import closing
from typing import Any

import httpcore

from storage.deadline import Deadline
from storage.public_network import CONNECTION_ERRORS, explain_failure, open_public_pool
from storage.settings import Settings

TIMEOUT_S = 10.0
SUCCESS = range(200, 300)

log = logging.getLogger(__name__)


def hand_on(settings: Settings, url: str, inscription: dict[str, Any]) -> bool:
    """Send an inscription, once, and return whether it was taken: whoever asked for it has it in any case."""
    headers = {"content-type": "application/json"}
    if settings.stargate_ingest_token is not None:
        headers["x-ingest-token"] = settings.stargate_ingest_token.get_secret_value()
    body = json.dumps(inscription).encode()
    deadline = Deadline(TIMEOUT_S)
    try:
        with (
            closing(open_public_pool(settings.fetch_allowed_networks, connections=1)) as pool,
            deadline,
            deadline.awaiting_head(),
            pool.stream("POST", url, content=body, headers=list(headers.items())) as answer,
        ):
            reason = "" if answer.status in SUCCESS else f"it answered {answer.status}"
    except (*CONNECTION_ERRORS, httpcore.UnsupportedProtocol, ValueError) as error:
        reason = f"{type(error).__name__}: {explain_failure(error)}"
    if reason:
        log.warning("Stargate did not take an inscription: %s", reason)
    return not reason
