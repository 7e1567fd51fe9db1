"""The routes that Stargate's client calls, at the root and under `/bitcoin/v1`."""

from fastapi import APIRouter

from producer.api.entrance import STARGATE_PREFIX
from producer.api.stargate import batches, blocks, extraction, inscribing, metrics, scanning, status, transactions

PREFIXES = ("", STARGATE_PREFIX)

router = APIRouter(tags=["Stargate"])
for prefix in PREFIXES:
    for routes in (status, scanning, batches, extraction, inscribing, blocks, transactions):
        router.include_router(routes.router, prefix=prefix, include_in_schema=not prefix)
router.include_router(metrics.router)
