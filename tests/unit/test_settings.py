"""Settings: read from the environment, validated, and with usable defaults."""

import os
import pwd
from pathlib import Path

import pytest
from pydantic import ValidationError

from storage.blobs import Blobs
from storage.setting_defaults import default_data_dir, default_submitter
from storage.settings import Settings, read_settings


def test_without_an_environment_everything_has_a_value() -> None:
    configured = Settings()

    assert configured.database_url is None
    assert configured.redis_url is None
    assert configured.chunk_size == 256
    assert configured.max_image_pixels < 100_000_000


def test_threads_follow_the_cores_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARLIGHT_CORES", "6")
    monkeypatch.setenv("STARLIGHT_TORCH_THREADS", "1")

    configured = Settings()

    assert (configured.decode_processes, configured.torch_threads, configured.chunks_in_flight) == (6, 1, 8)


def test_every_setting_is_read_from_a_variable_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"database_url": "postgresql://host/db", "chunk_size": 7, "lease_s": 1.5, "model_dir": Path("/models/x")}
    for name, value in given.items():
        monkeypatch.setenv(f"STARLIGHT_{name.upper()}", str(value))

    configured = Settings()

    assert {name: getattr(configured, name) for name in given} == given


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHUNK_SIZE", "0"),
        ("CHUNK_SIZE", "4097"),
        ("CHUNK_SIZE", "many"),
        ("CHUNK_SIZE", ""),
        ("MAX_LOSSES", "1"),
        ("MAX_IMAGE_BYTES", "0"),
        ("MAX_IMAGE_PIXELS", "-1"),
        ("DECODE_BUDGET_BYTES", "1.5"),
        ("DECODE_PROCESSES", "0"),
        ("BATCH_SIZE", "0"),
        ("BATCH_WAIT_MS", "0"),
        ("LEASE_S", "-1"),
        ("LEASE_S", "nan"),
        ("FLOWER_PORT", "http"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"STARLIGHT_{name}", value)

    with pytest.raises(ValidationError) as refusal:
        Settings()

    errors = [error for error in refusal.value.errors() if error["type"] != "default_factory_not_called"]
    assert [error["loc"] for error in errors] == [(name.lower(),)]


def test_settings_are_read_once_and_cannot_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARLIGHT_CHUNK_SIZE", "7")
    read_settings.cache_clear()
    first = read_settings()
    monkeypatch.setenv("STARLIGHT_CHUNK_SIZE", "8")

    assert read_settings() is first
    assert first.chunk_size == 7
    with pytest.raises(ValidationError):
        first.chunk_size = 9  # type: ignore[misc]
    read_settings.cache_clear()


def test_data_of_root_belongs_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("XDG_DATA_HOME", "/elsewhere")

    assert default_data_dir() == Path("/var/lib/starlight")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"XDG_DATA_HOME": "/data"}, "/data/starlight"),
        ({"XDG_DATA_HOME": ""}, "/home/somebody/.local/share/starlight"),
        ({}, "/home/somebody/.local/share/starlight"),
    ],
)
def test_data_of_an_ordinary_user_is_in_their_data_folder(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert default_data_dir() == Path(expected)


def test_the_submitter_is_who_is_logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody")

    assert default_submitter() == "somebody"


def test_the_submitter_of_an_account_without_a_name_is_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> pwd.struct_passwd:
        raise KeyError("no such account")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)

    assert default_submitter() == f"uid-{os.geteuid()}"


def test_blobs_are_in_the_data_folder_unless_a_place_is_named() -> None:
    assert Settings(data_dir=Path("/data")).blobs() == "file:///data/blobs"
    assert Settings(data_dir=Path("/data"), blob_url="s3://bucket").blobs() == "s3://bucket"


@pytest.mark.parametrize("name", ["data", "with space", "100%25 #?", "ü 世界"])
def test_blobs_are_found_again_in_a_data_folder_of_any_name(tmp_path: Path, name: str) -> None:
    data_dir = tmp_path / name

    digest = Blobs(Settings(data_dir=data_dir).blobs()).put(b"bytes")

    assert Blobs(Settings(data_dir=data_dir).blobs()).get(digest, 100) == b"bytes"
    assert [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] == [b"bytes"]
    assert list(tmp_path.iterdir()) == [data_dir]


def test_the_data_folder_may_be_named_relative_to_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert Settings(data_dir=Path("data")).blobs() == (tmp_path / "data" / "blobs").as_uri()
