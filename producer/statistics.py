"""Statistics about the whole installation, for the API and `starlight top`."""

from sqlalchemy import Engine

from starlight_vocabulary.answers import Statistics
from storage.figures import take_figures
from storage.settings import Settings
from storage.workers import list_live_workers


def take_statistics(engine: Engine, settings: Settings) -> Statistics:
    """Return throughput and its target, waiting images and the oldest one's age, outcomes, and live workers."""
    figures = take_figures(engine)
    return Statistics(
        taken_at=figures.taken_at,
        images_per_minute=figures.finished_last_minute,
        target_images_per_minute=settings.target_images_per_minute,
        submitted=figures.submitted,
        outcomes={each.value: count for each, count in figures.outcomes.items()},
        waiting={each.value: count for each, count in figures.waiting.items()},
        oldest_waiting_s=figures.oldest_waiting_s,
        workers=list(list_live_workers(engine, settings.lease_s)),
    )
