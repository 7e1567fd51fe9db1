"""Watched folders: what is being written, what appears, archives, and what is no file."""

import os
from pathlib import Path

import pytest
from sqlalchemy import Engine

from producer.sources.errors import SourceAwayError, SourceError
from producer.watching.opening import WatchOptions, open_source
from storage.settings import Settings
from tests.kit.names import write_files, zip_files
from tests.kit.watching import ALWAYS, AT_ONCE, list_submitted, look_anew, watch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "in"
    path.mkdir()
    return path


def test_what_is_being_written_waits_until_it_is_whole(engine: Engine, configured: Settings, folder: Path) -> None:
    (reference,) = write_files(folder, "a.png")
    watcher = watch(engine, configured, open_source(str(folder), configured, AT_ONCE))

    with (folder / "a.png").open("ab") as writing:
        watcher.run_once(lambda submission: None)
        assert list_submitted(engine) == []
        writing.write(b"the rest")
    # This file is looked at again, although the whole folder is not walked again.
    watcher.run_once(lambda submission: None)
    assert list_submitted(engine) == [reference]

    look_anew(engine, configured, folder)
    assert list_submitted(engine) == [reference]


def test_what_changed_a_moment_ago_waits(engine: Engine, configured: Settings, folder: Path) -> None:
    write_files(folder, "a.png")

    look_anew(engine, configured, folder, WatchOptions(every_s=3600, settle_s=3600))

    assert list_submitted(engine) == []


def test_the_system_tells_of_what_appears(engine: Engine, configured: Settings, folder: Path) -> None:
    watcher = watch(engine, configured, source := open_source(str(folder), configured, AT_ONCE))
    watcher.run_once(lambda submission: None)

    expected = write_files(folder, "a.png", "new/folder/b.png")
    while list_submitted(engine) != expected:
        source.wait()
        watcher.run_once(lambda submission: None)


def test_archives_are_unpacked_and_what_exceeds_limits_is_seen(
    engine: Engine, configured: Settings, folder: Path
) -> None:
    zip_files(folder / "a.zip", ["b.png"])
    zip_files(folder / "large.zip", ["c.png", "d.png", "e.png"])

    look_anew(engine, configured.model_copy(update={"max_archive_members": 2}), folder)

    inside, refused = list_submitted(engine)
    assert inside.startswith("blob://")
    assert inside.endswith("/a.zip/b.png")
    assert refused == (folder / "large.zip").as_uri()


def test_what_is_no_file_is_left_alone(engine: Engine, configured: Settings, folder: Path) -> None:
    (folder / "link").symlink_to("nowhere")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")

    look_anew(engine, configured, folder)

    assert list_submitted(engine) == []


def test_a_folder_that_is_gone_is_waited_for(engine: Engine, configured: Settings, folder: Path) -> None:
    watcher = watch(engine, configured, open_source(str(folder), configured, ALWAYS))
    watcher.run_once(lambda submission: None)
    folder.rmdir()
    with pytest.raises(SourceAwayError):
        watcher.run_once(lambda submission: None)

    expected = write_files(folder, "a.png")
    watcher.run_once(lambda submission: None)

    assert list_submitted(engine) == expected


def test_what_is_no_folder_is_refused(configured: Settings, folder: Path) -> None:
    with pytest.raises(SourceError, match="there is no folder"):
        open_source(str(folder / "missing"), configured, AT_ONCE)
    with pytest.raises(SourceError, match=r"'file:///.*' cannot be watched: name a folder, s3://…"):
        open_source(folder.as_uri(), configured, AT_ONCE)
