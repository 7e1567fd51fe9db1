"""Short forms of the research: other approaches, ways to evade V4, and the analysis of a corpus."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from research.alternative_architectures import boosting, convolution, likelihood
from research.alternative_architectures import command as architectures
from research.alternative_architectures.comparing import NETWORK, V4, combine, find_beyond
from research.alternative_architectures.examples import Examples, collect
from research.alternative_architectures.page import write_page as write_architectures
from research.dataset_analysis import command as dataset
from research.dataset_analysis.claims import CLAIM, count_needed
from research.dataset_analysis.extrapolation import Curve, extrapolate, fit
from research.dataset_analysis.labels import list_readable
from research.dataset_analysis.learning import find_false_positives, find_missed, take_from_sources
from research.dataset_analysis.page import write_page as write_dataset
from research.dataset_analysis.surveying import hash_picture
from research.evaluation.figures import Report
from research.evaluation.intervals import clopper_pearson
from research.evaluation.rates import find_limit
from research.evasion import command as evasion
from research.evasion.attribution import explain_examples
from research.evasion.page import write_page as write_evasion
from research.evasion.placing import busiest_first, by_key, change_adaptively, find_costs, in_order, write_bits
from research.stego.drawn import draw_picture
from research.stego.samples import Sample
from tests.kit.pictures import draw_noise, encode
from worker.v4.card import DEFAULT_MODEL
from worker.v4.detector import Detector
from worker.v4.embedding import embed_lsb

# Not imported here: importing them takes longer than most test files, in each process.
pytestmark = pytest.mark.skipif(
    not (find_spec("sklearn") and find_spec("py7zr")), reason="an extra of research is not installed"
)

RESULTS = Path(__file__).parents[3] / "results"
PAGES = {
    "architectures": (write_architectures, {"found.svg", "curves.svg", "elsewhere.svg"}),
    "dataset_analysis": (write_dataset, {"noise.svg", "claim.svg", "curve.svg", "left_out.svg"}),
    "evasion": (write_evasion, {"ways.svg", "windows.svg", "examples.svg", "boundary.svg"}),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with drawn pictures: two sources each in train/ and val/, and a picture that is in both."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(1)
    shared = encode(draw_picture(rng, "photo", (96, 80)), "PNG")
    for part in ("train", "val"):
        for source in ("one", "two"):
            at = folder / part / source
            at.mkdir(parents=True)
            for number in range(3):
                (at / f"{number}.png").write_bytes(encode(draw_picture(rng, "photo", (72, 72)), "PNG"))
        (folder / part / "one" / "shared.png").write_bytes(shared)
    return folder


def draw_examples(stego: int, clean: int, kind: str = "noise") -> Examples:
    """Return drawn pictures; the first ones have hidden text."""
    rng = np.random.default_rng(2)
    shown = []
    for number in range(stego + clean):
        image, payload = draw_picture(rng, kind, (64, 64)), b"to be read by nobody " * 20
        hides = number < stego
        image = embed_lsb(image, payload, "msb-first") if hides else image
        sample = Sample(b"", "lsb.rgb", "lsb.rgb", "msb-first", payload) if hides else Sample(b"", "untouched")
        shown.append((sample, image))
    return collect(iter(shown), len(shown))


def test_a_corpus_is_analysed(corpus: Path) -> None:
    sizes = [
        "--repeats",
        "2",
        "--trees",
        "2",
        "--shares",
        "0.2",
        "0.4",
        "0.6",
        "1",
        "--sources",
        "1",
        "2",
        "--fewest",
        "3",
    ]
    report = dataset.measure(dataset.read_options(["--corpus", str(corpus), *sizes, "--resamples", "3"]))
    assert report["images"] == {"train": 7, "val": 7}
    assert report["duplicates"]["across"] == {"train": 1, "val": 1}
    assert report["duplicates"]["pairs_across_by_sources"] == {"train/one and val/one": 1}
    assert report["sources"]["train/one"]["formats"] == {"PNG": 4}
    assert [point["covers"] for point in report["learning"]["covers"]] == [1, 2, 4, 6]
    assert [len(point["missed"]) for point in report["learning"]["sources"]] == [2, 2]
    assert report["learning"]["tenfold"]["missed"]["target_size"] == 60
    assert set(report["shift"]["sources"]) == {"one", "two"}
    assert {each["source"] for each in report["labels"]["outliers"]["val"]} == {"one", "two"}


def test_a_readable_message_in_a_clean_image_is_noticed(corpus: Path) -> None:
    picture = draw_picture(np.random.default_rng(3), "photo", (64, 64)).convert("RGB")
    hidden = embed_lsb(picture, b"a message that somebody can read", "msb-first")
    assert list_readable(picture, encode(picture, "PNG")) == ()
    assert list_readable(hidden, encode(hidden, "PNG")) == ("lsb.rgb: text",)
    assert list_readable(picture, encode(picture, "PNG") + b"PK\x03\x04" + bytes(60)) == ("raw: zip",)


def test_a_learning_curve_is_found_again() -> None:
    truth = Curve(0.05, 2.0, 0.5)
    sizes = [10, 100, 1000, 10_000]
    values = np.array([truth.at(size) for size in sizes])
    assert fit(np.array(sizes, float), values).at(100_000) == pytest.approx(truth.at(100_000), rel=0.02)

    noise = np.random.default_rng(1).normal(1.0, 0.05, (4, 6))
    found = extrapolate(
        sizes, lambda place, number, _: float(values[place] * noise[place, number]), 6, 3, 100_000, 1, 60
    )
    low, high = found["target"]["interval95"]
    assert low < truth.at(100_000) < high
    assert low < found["target"]["value"] < high
    assert found["ratio"]["value"] < 1.0


def test_misses_and_false_positives_are_at_the_same_thresholds() -> None:
    is_stego = np.array([True] * 20 + [False] * 200)
    odds = np.concatenate([np.linspace(7.0, 9.0, 19), [-9.0], np.linspace(-5.0, 5.0, 198), [7.5, 6.9]])
    assert find_missed(odds, is_stego) == 0.05
    assert find_false_positives(odds, is_stego) == pytest.approx(1 / 200)


def test_covers_come_evenly_from_sources_that_have_enough() -> None:
    source = np.repeat([0, 1, 2, 3], [40, 40, 40, 3])
    taken = take_from_sources(np.random.default_rng(1), source, np.arange(len(source)), 3, 30)
    assert np.bincount(source[taken], minlength=4).tolist() == [10, 10, 10, 0]


def test_other_approaches_are_compared_with_v4(corpus: Path) -> None:
    sizes = ["--train", "24", "--test", "16", "--covers", "1", "--trees", "2", "--epochs", "1", "--passes", "1"]
    folders = ["--corpus", str(corpus / "train"), "--validation", str(corpus / "val")]
    report = architectures.measure(architectures.read_options([*folders, *sizes]))
    assert list(report["cost"]) == [V4, NETWORK, "boosting", "convolution", "surprise", "ratio"]
    hidden = [rate["of"] for groups in report["found"]["0.01"][V4]["found"].values() for rate in groups.values()]
    assert sum(hidden) == 16 - report["examples"]["test_clean"]
    for row in report["elsewhere"].values():
        missed = row["found"][V4]["of"] - row["found"][V4]["count"]
        assert {each["of"] for each in row["beyond"].values()} == {missed}


def test_ways_to_hide_are_measured(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evasion.json"
    assert evasion.main(["--corpus", str(corpus / "val"), "--json", str(path), "--covers", "2", "--pieces", "2"]) == 0
    report = json.loads(path.read_text())
    written = report["groups"]["what is written"]["ways"]
    assert written["text of 200 bytes, as the specification has it"]["found"]["count"] == 2
    assert report["groups"]["where it is written"]["ways"]["backwards from the last sample"]["found"]["count"] == 0
    assert report["damages"]["first 8 bytes overwritten"]["decoded"]["count"] == 0
    windows = report["explained"]["text of 200 bytes, as the specification has it"]["windows"]
    assert max(windows, key=lambda row: row["fall"])["byte"] < 200
    assert report["boundary"]["false_positives"]["16"]["of"] == 2
    cells = [sides["64"]["200"] for sides in report["boundary"]["found"]["text"].values() if "64" in sides]
    assert sum(cell["of"] for cell in cells) == 2
    assert "backwards from the last sample: 0.0%" in capsys.readouterr().out


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_pages_are_those_of_the_committed_figures(name: str, tmp_path: Path) -> None:
    write_page, pictures = PAGES[name]
    report: Report = json.loads((RESULTS / f"{name}.json").read_text())
    page = tmp_path / f"{name}.md"
    write_page(report, page)
    assert page.read_bytes() == (RESULTS / f"{name}.md").read_bytes()
    assert {path.name for path in (tmp_path / name).iterdir()} == pictures
    assert all((RESULTS / name / picture).is_file() for picture in pictures)


@pytest.mark.parametrize("hits", [0, 3])
def test_a_claim_needs_just_so_many_images(hits: int) -> None:
    count = count_needed(hits)
    assert clopper_pearson(hits, count)[1] <= CLAIM < clopper_pearson(hits, count - 1)[1]


def test_a_picture_is_known_again_by_its_hash() -> None:
    picture = draw_picture(np.random.default_rng(3), "photo", (120, 100))
    other = draw_picture(np.random.default_rng(4), "photo", (120, 100))
    smaller = picture.resize((90, 75), Image.Resampling.BICUBIC)
    hashed, far, near = (hash_picture(each)[0] for each in (picture, other, smaller))
    assert np.bitwise_count(hashed ^ near).sum() < 16 < np.bitwise_count(hashed ^ far).sum()


def test_bits_are_written_where_a_key_says() -> None:
    samples = np.asarray(draw_noise("RGB", 20, 20))
    bits = np.random.default_rng(5).integers(0, 2, 300, dtype=np.uint8)
    places = by_key(np.random.default_rng(6), samples)
    for matching in (False, True):
        hidden = write_bits(np.random.default_rng(7), samples, places, bits, matching=matching)
        assert (hidden.reshape(-1)[places[:300]] & 1 == bits).all()
        assert np.abs(hidden.astype(int) - samples).max() == 1
    assert not (by_key(np.random.default_rng(8), samples) == in_order(samples)).all()


def test_adaptive_changes_keep_to_busy_places() -> None:
    samples = np.zeros((64, 64, 3), np.uint8) + 100
    samples[:, 32:] = np.asarray(draw_noise("RGB", 32, 64))
    changed = change_adaptively(np.random.default_rng(9), samples, 0.2) != samples
    assert changed[:, 40:].mean() > 0.05
    assert changed[:, :24].mean() < 0.001
    assert find_costs(samples)[:, :24].min() > find_costs(samples)[:, 40:].max()
    assert (busiest_first(samples)[:2000] % (64 * 3) >= 32 * 3 - 12).all()


@pytest.mark.parametrize("approach", ["boosting", "ratio"])
def test_an_approach_learns_text_in_noise(approach: str) -> None:
    learnt, shown = draw_examples(24, 24), draw_examples(6, 12)
    score = boosting.train(learnt, 1, 8) if approach == "boosting" else likelihood.train_ratio(learnt)
    scores = score(shown)
    assert scores[~shown.is_clean].min() > scores[shown.is_clean].max()


def test_text_surprises_in_plain_pictures() -> None:
    shown = draw_examples(6, 12, "flat")
    scores = likelihood.train_surprise(draw_examples(0, 24, "flat"))(shown)
    assert scores[~shown.is_clean].min() > scores[shown.is_clean].max()


def test_residuals_are_of_the_picture_alone() -> None:
    flat, mask = convolution.show([np.full((4, 12, 12), 200, np.uint8), np.full((4, 6, 9), 100, np.uint8)])
    assert convolution.Residuals()(flat).abs().max() == 0
    assert mask.sum((1, 2, 3)).tolist() == [144, 54]
    assert convolution.Residuals()(convolution.show(draw_examples(0, 1).pictures)[0]).abs().max() == 3


def test_the_spatial_network_does_not_see_the_padding() -> None:
    torch.manual_seed(1)
    network = convolution.Spatial().eval()
    small, large = (draw_noise("RGBA", side, side) for side in (24, 40))
    pictures = [np.asarray(each).transpose(2, 0, 1) for each in (small, large)]
    with torch.inference_mode():
        alone = network(*convolution.show(pictures[:1]))
        beside = network(*convolution.show(pictures))
    assert beside[0].item() == pytest.approx(alone[0].item(), abs=0.05)


def test_the_same_words_are_explained_in_four_ways() -> None:
    explained = {each["hidden"]: each for each in explain_examples(Detector.load(DEFAULT_MODEL))}
    text, ciphertext = explained["text"], explained["ciphertext, bare"]
    assert text["windows"][0]["bytes"] == "The_meet"
    assert text["logit"] > ciphertext["logit"]
    assert min(window["fall"] for window in text["windows"][:11]) > 1.0
    assert max(abs(window["fall"]) for window in text["windows"][14:]) < 0.1


def test_what_v4_misses_and_what_both_find() -> None:
    shown = draw_examples(4, 8)
    scores = {V4: np.array([9.0, 9, 0, 0, *range(8)]), "other": np.array([0.0, 0, 9, 0, *[1.0] * 8])}
    assert find_limit(scores[V4][4:], 0.125) == 6
    beyond = find_beyond(scores, shown, 0.01)["other"]["lsb.rgb"]["text, by other writers"]
    assert (beyond["count"], beyond["of"]) == (1, 2)
    together = combine(scores, shown, 0.01)
    assert together["V4 alone"]["found"]["count"] == 2
    assert together["V4 or other"]["found"]["count"] == 3
    assert together["V4 or other"]["false_positives"]["count"] == 0
