"""Forwarding an inscription to Stargate's `/api/ingest-inscription`, if that is configured."""

import json
import logging
from contextlib import closing
from typing import Any

from storage.posting import UnansweredError, post
from storage.public_network import open_public_pool
from storage.settings import Settings

TIMEOUT_S = 10.0
SUCCESS = range(200, 300)

log = logging.getLogger(__name__)


def forward(settings: Settings, url: str, inscription: dict[str, Any]) -> bool:
    """Send an inscription and return whether Stargate accepted it. No retry: the client has it in the response."""
    headers = {"content-type": "application/json"}
    if settings.stargate_ingest_token is not None:
        headers["x-ingest-token"] = settings.stargate_ingest_token.get_secret_value()
    body = json.dumps(inscription).encode()
    try:
        with closing(open_public_pool(settings.fetch_allowed_networks, connections=1)) as pool:
            status = post(pool, url, body, headers, TIMEOUT_S)
        reason = "" if status in SUCCESS else f"status {status}"
    except UnansweredError as error:
        reason = str(error)
    if reason:
        log.warning("Stargate did not accept an inscription: %s", reason)
    return not reason
