"""Folders: loops, links, missing permissions, depth and width."""

import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from producer.sources.expansion import Sources
from starlight_vocabulary.words import ErrorCode
from tests.kit.loading import BytesLoader
from tests.kit.names import SECRET, expand, expect_refusal, refer_to, write_files
from tests.kit.users import become_ordinary_user


@pytest.mark.parametrize("target", [".", ".."])
def test_a_directory_loop_is_one_reference_and_the_rest_is_found(
    folder: Path, sources: Sources, loader: BytesLoader, target: str
) -> None:
    write_files(folder, "sub/a.png", "sub/z.png")
    (folder / "sub" / "loop").symlink_to(target)

    found = expand(sources, ".")

    assert found == refer_to(folder, "sub/a.png", "sub/loop", "sub/z.png")
    assert expect_refusal(loader, found[1]) == ErrorCode.DIRECTORY_LOOP


def test_a_link_to_itself_harms_itself_alone(folder: Path, sources: Sources, loader: BytesLoader) -> None:
    write_files(folder, "a.png", "z.png")
    (folder / "link").symlink_to("link")

    found = expand(sources, ".")

    assert found == refer_to(folder, "a.png", "link", "z.png")
    assert expect_refusal(loader, found[1]) == ErrorCode.NOT_READABLE


def test_lost_links_and_odd_files_are_references(folder: Path, sources: Sources, loader: BytesLoader) -> None:
    (folder / "lost").symlink_to("nothing")
    os.mkfifo(folder / "pipe")
    (folder / "zero").symlink_to("/dev/zero")

    found = expand(sources, ".")

    assert found == refer_to(folder, "lost", "pipe", "zero")
    assert [expect_refusal(loader, uri) for uri in found] == [
        ErrorCode.NOT_FOUND,
        ErrorCode.NOT_A_FILE,
        ErrorCode.NOT_A_FILE,
    ]


def test_links_to_files_are_followed(folder: Path, sources: Sources, loader: BytesLoader) -> None:
    write_files(folder, "a.png")
    (folder / "b.png").symlink_to("a.png")

    assert [loader.load(uri) for uri in expand(sources, ".")] == [SECRET, SECRET]


def test_a_folder_that_cannot_be_opened_is_one_reference(folder: Path, sources: Sources) -> None:
    write_files(folder, "a.png", "closed/b.png", "z.png")
    (folder / "closed").chmod(0)

    with become_ordinary_user():
        found = expand(sources, ".")

    assert found == refer_to(folder, "a.png", "closed", "z.png")


def test_a_link_into_a_closed_folder_harms_itself_alone(folder: Path, sources: Sources) -> None:
    write_files(folder, "a.png", "closed/inner/b.png", "z.png")
    (folder / "link").symlink_to("closed/inner")
    (folder / "closed").chmod(0)

    with become_ordinary_user():
        found = expand(sources, ".")

    assert found == refer_to(folder, "a.png", "closed", "link", "z.png")


def test_a_folder_that_vanishes_meanwhile_is_one_reference(folder: Path, sources: Sources, loader: BytesLoader) -> None:
    write_files(folder, "a/1.png", "b/2.png", "c/3.png")
    found = sources.from_arguments(["."], io.BytesIO())

    first = next(found)
    (folder / "b" / "2.png").unlink()
    (folder / "b").rmdir()

    rest = list(found)
    assert [first, *rest] == refer_to(folder, "a/1.png", "b", "c/3.png")
    assert expect_refusal(loader, rest[0]) == ErrorCode.NOT_FOUND


@pytest.fixture
def deep(folder: Path) -> Iterator[Path]:
    """A file 1,100 folders deep; `rm` deletes it, since Python's functions do not reach so deep."""
    for _ in range(1100):
        os.mkdir("d")  # noqa: PTH102 - relative, one in the other
        os.chdir("d")
    Path("a.png").touch()
    yield folder
    subprocess.run(["rm", "-rf", folder / "d"], check=True)


def test_folders_may_be_as_deep_as_the_system_allows(deep: Path, sources: Sources) -> None:
    assert len(expand(sources, str(deep))) == 1


def test_a_wide_folder_is_found_whole(folder: Path, sources: Sources) -> None:
    names = [f"{number:05}" for number in range(500)]
    for name in names:
        (folder / name).touch()

    assert expand(sources, ".") == refer_to(folder, *names)
