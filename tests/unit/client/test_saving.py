"""Saving the files of an export: completely, or not at all."""

import hashlib
import json
from pathlib import Path

import pytest

from starlight_client import ExportedPart, UnreadableAnswerError
from starlight_client.saving import finish_part, is_there, open_part, read_parts, save_manifest

DATA = b"verdicts"
PART = ExportedPart(path="day=1/part.csv", rows=1, size_bytes=len(DATA), sha256=hashlib.sha256(DATA).hexdigest())


def list_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    with open_part(tmp_path, PART) as file:
        file.write(DATA)
        assert not is_there(tmp_path, PART)
        saved = finish_part(file, tmp_path, PART)

    assert saved.read_bytes() == DATA
    assert is_there(tmp_path, PART)
    save_manifest(tmp_path, b"{}")
    assert list_files(tmp_path) == ["_manifest.json", "day=1/part.csv"]
    saved.write_bytes(DATA[::-1])
    assert not is_there(tmp_path, PART)


def test_of_a_file_that_is_not_whole_nothing_is_left(tmp_path: Path) -> None:
    with open_part(tmp_path, PART) as file:
        file.write(DATA[:-1])
        with pytest.raises(UnreadableAnswerError, match=r"day=1/part.csv has the SHA-256"):
            finish_part(file, tmp_path, PART)

    assert list_files(tmp_path) == []


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "", ".", "C:\\x", "a\\..\\x"])
def test_a_manifest_names_no_file_outside_of_its_folder(path: str) -> None:
    part = {"path": path, "rows": 1, "size_bytes": 1, "sha256": "0" * 64}

    with pytest.raises(UnreadableAnswerError, match="outside of its folder"):
        read_parts(json.dumps({"files": [part]}).encode())


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{}", b'{"files": [1]}', b'{"files": [{"path": 1}]}'])
def test_what_is_no_manifest_is_told(manifest: bytes) -> None:
    with pytest.raises(UnreadableAnswerError, match="not an export's manifest"):
        read_parts(manifest)
