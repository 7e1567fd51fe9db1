"""Packing files and folders into one archive."""

import tarfile
from pathlib import Path

import pytest

from starlight_client.packing import pack_files


def list_members(*paths: Path | str) -> list[str]:
    """Return the names in the archive of these paths."""
    with pack_files(paths) as stream:
        stream.seek(0)
        with tarfile.open(fileobj=stream) as archive:
            assert all(member.isfile() for member in archive)
            return archive.getnames()


def test_folders_are_walked_in_the_order_of_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder/inner").mkdir(parents=True)
    for name in ("one.png", "folder/z.png", "folder/a.png", "folder/inner/b \udcff.png"):
        Path(name).write_bytes(b"data")

    assert list_members("one.png", Path("folder")) == [
        "one.png", "folder/a.png", "folder/inner/b \udcff.png", "folder/z.png"
    ]  # fmt: skip


def test_links_that_lead_in_circles_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder/inner").mkdir(parents=True)
    Path("folder/inner/one.png").write_bytes(b"data")
    Path("folder/inner/up").symlink_to("..")
    Path("folder/here").symlink_to(".")
    Path("elsewhere").mkdir()
    Path("elsewhere/two.png").write_bytes(b"data")
    Path("folder/there").symlink_to(tmp_path / "elsewhere")

    assert list_members("folder") == ["folder/inner/one.png", "folder/there/two.png"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken").symlink_to("nothing")

    with pytest.raises(FileNotFoundError, match="broken"):
        pack_files([tmp_path])


@pytest.mark.parametrize("path", ["folder", "/", b"/"])
def test_one_path_instead_of_a_list_is_refused_before_its_characters_are_read(path: str | bytes) -> None:
    with pytest.raises(TypeError, match="paths must be a list, such as \\["):
        pack_files(path)  # type: ignore[arg-type]
