"""`/scan/transaction` and `/transaction/{txid}`, which need a node of the chain."""

from typing import Annotated

from fastapi import APIRouter, Path

from producer.api.access import Reading, Submitting
from producer.api.problems import ProblemError, document_problems

router = APIRouter()

REASON = (
    "transactions cannot be resolved here, because no node of the chain is configured: send their images to "
    "/scan/image or /v1/jobs"
)


@router.post("/scan/transaction", status_code=501, responses=document_problems(501))
def scan_transaction(key: Submitting) -> None:
    """Refuse: there is nothing here that finds the images of a transaction."""
    raise ProblemError(501, REASON)


@router.get("/transaction/{txid}", status_code=501, responses=document_problems(501))
def get_transaction(key: Reading, txid: Annotated[str, Path(pattern="^[0-9a-fA-F]{64}$")]) -> None:
    """Refuse: the same."""
    raise ProblemError(501, REASON)
