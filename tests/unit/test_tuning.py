"""The results of `starlight worker --tune`, and the file that it writes."""

import os
from pathlib import Path

import pytest

from storage.settings import Settings, find_settings_file, read_settings
from worker import tuning
from worker.v4.detector import Detector


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder whose settings file this process reads."""
    monkeypatch.setenv("STARLIGHT_DATA_DIR", str(tmp_path))
    read_settings.cache_clear()
    return tmp_path


def test_tuning_writes_a_file_that_every_command_reads_and_the_environment_overrules(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tuning, "PICTURES", 10)
    monkeypatch.setattr(tuning, "ROUNDS", 1)
    monkeypatch.setattr(tuning, "NOTICEABLE", 0.0)
    monkeypatch.setattr(tuning, "BATCH_SIZES", (32, 64))
    monkeypatch.setenv("STARLIGHT_CORES", "1")
    cores = os.sched_getaffinity(0)

    tuning.main("cpu0", str(find_settings_file()))

    os.sched_setaffinity(0, cores)
    read_settings.cache_clear()
    written = (home / "settings.env").read_text()
    chosen = read_settings()
    for name in ("batch_size", "decode_processes", "torch_threads", "chunks_in_flight"):
        assert f"STARLIGHT_{name.upper()}={getattr(chosen, name)}\n" in written
    told = capsys.readouterr().out
    assert all(f"batch_size {size}" in told for size in tuning.BATCH_SIZES)
    monkeypatch.setenv("STARLIGHT_BATCH_SIZE", "7")
    read_settings.cache_clear()
    assert read_settings().batch_size == 7


@pytest.mark.parametrize(("rates", "chosen"), [([100, 101, 90], 1), ([100, 120, 110], 2), ([100, 100, 130], 3)])
def test_what_is_set_stays_unless_something_is_noticeably_faster(
    monkeypatch: pytest.MonkeyPatch, rates: list[float], chosen: int
) -> None:
    monkeypatch.setattr(tuning, "measure_rates", lambda *_: rates)
    detector = Detector(lambda _: None, None)  # type: ignore[arg-type, return-value]

    found = tuning.find_fastest(detector, Settings(), [{"batch_size": size} for size in (1, 2, 3)], [])

    assert found == {"batch_size": chosen}
