"""Comparing a tree with another revision: ratios of rounds, and early errors for what cannot be measured."""

from pathlib import Path

import pytest

from research.benchmark.beside import check_out, list_images, summarise
from tests.kit.pictures import encode_pattern


def test_ratios_are_those_of_rounds_and_their_median() -> None:
    before = [{"per_minute": 100.0}, {"per_minute": 100.0}, {"per_minute": 50.0}]
    now = [{"per_minute": 90.0}, {"per_minute": 130.0}, {"per_minute": 55.0}]
    posts = [{"per_second": 10.0, "p50_ms": 5.0}]

    figures = summarise({"bulk": (before, now), "posts": (posts, posts)})

    assert figures["ratio_bulk"] == 1.1
    assert figures["ratios_bulk"] == [0.9, 1.3, 1.1]
    assert (figures["bulk_per_minute_before"], figures["bulk_per_minute_now"]) == (100.0, 90.0)
    assert figures["posts_p50_ms_now"] == 5.0


def test_images_below_a_folder_are_found(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.PNG").write_bytes(encode_pattern())
    (tmp_path / "notes.txt").write_text("no image")

    assert list_images(tmp_path) == [(tmp_path / "below" / "a.PNG").as_uri()]


def test_a_folder_without_images_and_a_revision_that_is_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no images below"):
        list_images(tmp_path)
    with pytest.raises(SystemExit, match="bench: "), check_out("no-such-revision", tmp_path / "tree"):
        pass
    assert not (tmp_path / "tree").exists()
