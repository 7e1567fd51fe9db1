"""Requests to the chain's node, and problems for their failures."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from producer.api.permits import RETRY_LATER
from producer.api.problems import ProblemError
from producer.api.service import Service
from producer.chain.errors import ChainError, NotOnChainError

log = logging.getLogger(__name__)


@contextmanager
def use_chain(service: Service, key: str) -> Iterator[None]:
    """Let one request per key use the node in this block; raises a problem (429, 503, or 501 without a node).

    ChainError becomes 503; NotOnChainError is passed to the caller.
    """
    require_node(service)
    try:
        with service.unpacking.hold(key):
            yield
    except NotOnChainError:
        raise
    except ChainError as error:
        # Only the log gets the error: it may contain the node's address.
        log.warning("the chain cannot be read: %s", error)
        detail = "the Bitcoin node cannot be read: the API's log says why"
        raise ProblemError(503, detail, headers=RETRY_LATER) from error


def require_node(service: Service) -> None:
    """Raise a problem (501) if no node is configured."""
    if service.settings.bitcoin_url is None:
        raise ProblemError(501, "no Bitcoin node is configured here: send the images to /scan/image or /v1/jobs")
