"""`/v1/stats`: statistics about the whole installation."""

from fastapi import APIRouter

from producer.api.access import Reading
from producer.api.service import Shared
from producer.statistics import take_statistics
from starlight_vocabulary.answers import Statistics

router = APIRouter(prefix="/v1", tags=["statistics"])


@router.get("/stats")
def show_statistics(_key: Reading, service: Shared) -> Statistics:
    """Return throughput and its target, waiting images and the oldest one's age, outcomes, and live workers."""
    return take_statistics(service.engine, service.settings)
