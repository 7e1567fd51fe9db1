"""The short form of `scripts/fuzz`: each corrupted image has one outcome, and unexpected ones are kept."""

from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import pytest

from research import fuzzing
from tests.kit import crashing_decoder
from tests.kit.pictures import encode_pattern, encode_strip
from worker.scanning.decoding_pool import DecodingPool


def test_spoilt_images_have_one_outcome_each(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert fuzzing.main(["--seed", "7", "--cases", "60", "--keep", str(tmp_path)]) == 0

    out, err = capfd.readouterr()
    assert out.startswith("64 cases of seed 7\n")
    assert err == ""
    assert list(tmp_path.iterdir()) == []


def test_the_seed_decides_the_cases() -> None:
    first, again, other = (list(islice(fuzzing.make_cases(seed), 20)) for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_what_is_unexpected_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deadly = encode_strip(crashing_decoder.ALWAYS)
    cases: Callable[[int], object] = lambda _: iter([encode_pattern(), deadly] + 62 * [encode_pattern()])  # noqa: E731
    monkeypatch.setattr(fuzzing, "make_cases", cases)
    monkeypatch.setattr(fuzzing, "DecodingPool", partial(DecodingPool, module=crashing_decoder.__name__))

    assert fuzzing.main(["--seed", "7", "--cases", "1", "--keep", str(tmp_path)]) == 1

    assert "case 1 ended as decoder_crash" in capsys.readouterr().out
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [deadly]
