"""Watching a source like a command that is started anew, and what it submitted."""

from pathlib import Path

from sqlalchemy import Engine, text

from producer.watching.opening import WatchOptions, open_source
from producer.watching.source import Source
from producer.watching.watcher import Watcher
from starlight_vocabulary.job import JobOptions
from storage.settings import Settings

AT_ONCE = WatchOptions(every_s=3600, settle_s=0)
ALWAYS = WatchOptions(every_s=0, settle_s=0)


def watch(engine: Engine, configured: Settings, source: Source) -> Watcher:
    """Return a watcher of the source."""
    return Watcher(engine, configured, source, JobOptions())


def look_anew(engine: Engine, configured: Settings, folder: Path, options: WatchOptions = AT_ONCE) -> None:
    """Submit the arrivals that a newly started command finds."""
    watch(engine, configured, open_source(str(folder), configured, options)).run_once(lambda submission: None)


def list_submitted(engine: Engine) -> list[str]:
    """Return the references of all jobs."""
    with engine.connect() as connection:
        return sorted(connection.execute(text("SELECT unnest(refs) FROM chunks")).scalars())
