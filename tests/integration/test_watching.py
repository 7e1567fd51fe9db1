"""Watched sources: each arrival becomes a job once, whichever process dies in between."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from producer.sources.errors import SourceAwayError
from producer.sources.selection import Selection
from producer.sources.storing import BlobWriter
from producer.watching.opening import WatchOptions, open_source
from producer.watching.source import Arrivals, Progress
from storage.database import connect
from storage.settings import Settings
from storage.watches import WatchTakenError
from tests.kit.names import write_files
from tests.kit.object_store import ObjectStore
from tests.kit.rows import execute
from tests.kit.watching import ALWAYS, AT_ONCE, list_submitted, look_anew, watch
from tests.kit.wire import open_wire_to


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "in"
    path.mkdir()
    return path


def test_each_version_of_a_file_is_submitted_once_also_by_who_starts_later(
    engine: Engine, configured: Settings, folder: Path
) -> None:
    first = write_files(folder, "a.png", "deep/er/b.png")
    look_anew(engine, configured, folder)
    look_anew(engine, configured, folder)
    assert list_submitted(engine) == first

    second = write_files(folder, "c.png")
    os.utime(folder / "a.png", ns=(1, 1))
    look_anew(engine, configured, folder)

    assert list_submitted(engine) == sorted([*first, *second, first[0]])


def test_the_same_folder_is_watched_for_each_submitter(engine: Engine, configured: Settings, folder: Path) -> None:
    (reference,) = write_files(folder, "a.png")

    look_anew(engine, configured, folder)
    look_anew(engine, configured.model_copy(update={"submitter": "another"}), folder)

    assert list_submitted(engine) == [reference, reference]


def test_of_two_that_watch_the_newer_one_goes_on(engine: Engine, configured: Settings, folder: Path) -> None:
    older, newer = (watch(engine, configured, open_source(str(folder), configured, ALWAYS)) for _ in range(2))
    expected = write_files(folder, "a.png")

    with pytest.raises(WatchTakenError):
        older.run_once(lambda submission: None)
    assert list_submitted(engine) == []
    newer.run_once(lambda submission: None)

    assert list_submitted(engine) == expected


def test_only_what_is_selected_is_submitted(engine: Engine, configured: Settings, folder: Path) -> None:
    expected = write_files(folder, "a.png", "deep/b.png")
    write_files(folder, "c.txt", "no/d.png")

    look_anew(engine, configured, folder, WatchOptions(3600, 0, Selection(("*.png",), ("no/*",))))
    assert list_submitted(engine) == expected

    look_anew(engine, configured, folder)
    assert len(list_submitted(engine)) == 4


def test_each_version_of_an_object_is_submitted_once(
    engine: Engine, configured: Settings, object_store: ObjectStore
) -> None:
    object_store.objects |= {"/bucket/p/a.png": b"a", "/bucket/p/b.txt": b"b", "/bucket/pq/c.png": b"c"}
    only_png = WatchOptions(0, 0, Selection(("*.png",)))
    watcher = watch(engine, configured, source := open_source("s3://bucket/p/", configured, only_png))
    watcher.run_once(lambda submission: None)
    source.wait()
    watcher.run_once(lambda submission: None)
    assert list_submitted(engine) == ["s3://bucket/p/a.png"]

    object_store.objects["/bucket/p/a.png"] = b"changed"
    again = watch(engine, configured, open_source("s3://bucket/p", configured, only_png))
    again.run_once(lambda submission: None)

    assert list_submitted(engine) == ["s3://bucket/p/a.png"] * 2
    object_store.answers = False
    with pytest.raises(SourceAwayError):
        again.run_once(lambda submission: None)


A_DAY_LATER = "UPDATE watches SET compared_at = compared_at - interval '25 hours'"
LONG_AFTER = "UPDATE watched_files SET absent_since = absent_since - interval '31 days'"
KNOWN = text("SELECT count(*), count(absent_since) FROM watched_files")


def count_known(engine: Engine) -> tuple[int, int]:
    """Return the number of known files, and how many of them are marked as gone."""
    with engine.connect() as connection:
        known, gone = connection.execute(KNOWN).one()
    return known, gone


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_files_that_are_gone_for_long_are_forgotten_and_none_before(
    engine: Engine, configured: Settings, folder: Path, object_store: ObjectStore, kind: str
) -> None:
    source = str(folder) if kind == "folder" else "s3://bucket/p/"

    def look_a_day_later() -> tuple[int, int]:
        execute(engine, A_DAY_LATER)
        watch(engine, configured, open_source(source, configured, AT_ONCE)).run_once(lambda submission: None)
        return count_known(engine)

    def put(name: str) -> None:
        (folder / name).write_bytes(b"same")
        os.utime(folder / name, ns=(1, 1))
        object_store.objects[f"/bucket/p/{name}"] = b"same"

    def delete(name: str) -> None:
        (folder / name).unlink()
        del object_store.objects[f"/bucket/p/{name}"]

    for name in ("a.png", "b.png", "c.png"):
        put(name)
    assert look_a_day_later() == (3, 0)
    delete("a.png")
    delete("b.png")
    assert look_a_day_later() == (3, 2)

    # A file that is back is not submitted again, and files are not marked as gone without a full scan.
    put("b.png")
    execute(engine, LONG_AFTER)
    submitted = list_submitted(engine)
    assert look_a_day_later() == (2, 0)
    assert list_submitted(engine) == submitted

    put("a.png")
    assert look_a_day_later() == (3, 0)
    assert len(list_submitted(engine)) == len(submitted) + 1


def test_a_look_within_a_day_or_at_what_changed_alone_says_nothing_of_the_rest(
    engine: Engine, configured: Settings, folder: Path
) -> None:
    write_files(folder, "a.png", "b.png")
    watcher = watch(engine, configured, open_source(str(folder), configured, AT_ONCE))
    watcher.run_once(lambda submission: None)
    (folder / "a.png").unlink()
    look_anew(engine, configured, folder)
    watcher = watch(engine, configured, open_source(str(folder), configured, AT_ONCE))
    watcher.run_once(lambda submission: None)
    execute(engine, A_DAY_LATER)

    watcher.run_once(lambda submission: None)

    assert count_known(engine) == (2, 0)


class Numbers:
    """A source with three arrivals, whose cursor is their number; the second one has no images."""

    uri = "numbers:"
    saw_everything = None

    def find(self, progress: Progress) -> Iterator[Arrivals]:
        for number in range(int(progress.cursor or 0), 3):
            references = [] if number == 1 else [f"file:///{number}"]
            yield Arrivals(partial(self._refer, references), cursor=str(number + 1))

    @staticmethod
    def _refer(references: list[str], blobs: BlobWriter) -> list[str]:
        return references

    def wait(self) -> None:
        """Return immediately; this is never called."""


def test_a_cursor_moves_also_where_there_are_no_images(engine: Engine, configured: Settings) -> None:
    watch(engine, configured, Numbers()).run_once(lambda submission: None)
    assert list_submitted(engine) == ["file:///0", "file:///2"]

    again = watch(engine, configured, Numbers())
    again.run_once(lambda submission: None)

    assert again.cursor == "3"
    assert list_submitted(engine) == ["file:///0", "file:///2"]


# A look at a folder has two commits: opening the watch, and storing the arrivals.
@pytest.mark.parametrize("heard", [False, True])
def test_arrivals_whose_commit_is_cut_are_submitted_once(
    engine: Engine, database_url: str, configured: Settings, folder: Path, heard: bool
) -> None:
    expected = write_files(folder, "a.png")
    with open_wire_to(database_url) as wire:
        wired = connect(wire.url)
        watcher = watch(wired, configured, open_source(str(folder), configured, AT_ONCE))
        wire.break_at(0, heard=heard)
        watcher.run_once(lambda submission: None)
        wired.dispose()
        assert wire.broken == 1

    assert list_submitted(engine) == expected
    look_anew(engine, configured, folder)
    assert list_submitted(engine) == expected
