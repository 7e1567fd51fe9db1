"""The page of a validation, its pictures and the traits of hard negatives."""

import json
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from research.evaluation.baselines import SHARES, compare
from research.evaluation.page import write_page
from research.evaluation.traits import hard_traits
from research.stego.corpus import find_images
from tests.kit.pictures import decode, draw_noise, encode
from worker.v4.card import DEFAULT_MODEL, read_card
from worker.v4.detector import Detector
from worker.v4.embedding import exif_with_comment

RESULTS = Path(__file__).parents[3] / "results"


def test_a_report_becomes_the_same_page_each_time(tmp_path: Path) -> None:
    report = json.loads((RESULTS / "validation_report.json").read_text())
    pages = [tmp_path / run / "report.md" for run in ("first", "second")]
    for page in pages:
        page.parent.mkdir()
        write_page(report, page)

    first, second = ({path.name: path.read_bytes() for path in page.parent.rglob("*.*")} for page in pages)
    assert first == second
    assert set(first) == {
        "report.md",
        "roc.svg",
        "detection.svg",
        "reliability.svg",
        "false_positives.svg",
        "hidden.svg",
    }
    committed = (RESULTS / "validation_report.md").read_text()
    assert first["report.md"].decode().replace("(report/", "(validation_report/") == committed
    assert all(f"(report/{name})".encode() in first["report.md"] for name in first if name.endswith(".svg"))


def test_the_committed_page_is_about_the_committed_weights() -> None:
    card, page = read_card(DEFAULT_MODEL), (RESULTS / "validation_report.md").read_text()
    assert f"sha256:{card.sha256}" in page
    assert f"threshold {card.threshold}" in page


PNG_TEXT = PngImagePlugin.PngInfo()
PNG_TEXT.add_text("Comment", "hello")


@pytest.mark.parametrize(
    ("data", "traits"),
    [
        (encode(draw_noise("RGB"), "PNG"), set()),
        (encode(draw_noise("RGB"), "PNG", pnginfo=PNG_TEXT), {"PNG text"}),
        (encode(draw_noise("L"), "PNG"), {"grey"}),
        (encode(draw_noise("P"), "GIF", comment=b"hello"), {"GIF comment"}),
        (encode(Image.new("P", (20, 20)), "PNG"), {"few colours", "at most 24 pixels wide"}),
        (encode(draw_noise("RGB"), "PNG") + b"\x00\x00", {"zeros after the end"}),
        (
            encode(draw_noise("RGB"), "JPEG", exif=exif_with_comment(b"ASCII\x00\x00\x00Screenshot")),
            {"camera EXIF", "EXIF UserComment with content"},
        ),
        (
            encode(draw_noise("RGB"), "JPEG") + b"\x00\x00\x00\x18ftypmp42",
            {"bytes after the end", "motion photo"},
        ),
    ],
)
def test_hard_negatives_are_named(data: bytes, traits: set[str]) -> None:
    assert set(hard_traits(decode(data), data)) == traits


def test_v4_is_measured_beside_the_published_estimators(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(encode(draw_noise("RGB", 80, 80, seed=number), "PNG"))

    measured = compare(Detector.load(DEFAULT_MODEL), find_images(tmp_path), seed=1, covers=3)

    assert len(measured["found"]) == 2 * len(SHARES)
    for found in measured["found"].values():
        assert set(found) == {"V4", "sample pairs", "RS", "weighted stego"}
        assert all(0.0 <= share <= 1.0 for share in found.values())
