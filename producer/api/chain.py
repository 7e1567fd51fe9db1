"""What the chain's node is asked for requests, and what they are answered where it has it not."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from producer.api.permits import RETRY_LATER
from producer.api.problems import ProblemError
from producer.api.service import Service
from producer.chain.errors import ChainError, NotOnChainError

log = logging.getLogger(__name__)


@contextmanager
def asking_chain(service: Service, key: str) -> Iterator[None]:
    """Let one request of a key at a time ask the node in this block; ChainError becomes a problem, 503, or 501 without.

    NotOnChainError is left to the caller.
    """
    require_node(service)
    try:
        with service.unpacking.hold(key):
            yield
    except NotOnChainError:
        raise
    except ChainError as error:
        # It may name the node's address.
        log.warning("the chain cannot be read: %s", error)
        detail = "the node of the chain does not answer, or not with what it was asked for: the API's log says why"
        raise ProblemError(503, detail, headers=RETRY_LATER) from error


def require_node(service: Service) -> None:
    """Raise a problem (501) where no node is configured."""
    if service.settings.bitcoin_url is None:
        raise ProblemError(501, "no node of the chain is configured here: send the images to /scan/image or /v1/jobs")
