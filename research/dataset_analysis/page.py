"""Writes the analysis of a corpus as a Markdown page with plots."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from research.dataset_analysis.curves_page import PLOTS, TITLES, write_learning, write_shift
from research.evaluation.figures import Report, draw_figures, open_figure
from research.evaluation.intervals import clopper_pearson
from research.evaluation.markdown import make_table
from research.evaluation.writers import NOISE_NAMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PICTURES: Final = {
    "noise": "Noise of the carriers, by source.",
    "claim": "Upper end of the 95 % interval of the false positives; the points are what the two parts support.",
}
_MOST_TRAITS: Final = 3


def write_page(report: Report, path: Path) -> None:
    """Write the page to `path` and its plots to a folder of the same name beside it."""
    pictures = {
        name: f"![{title}]({at.parent.name}/{at.name})\n\n{title}"
        for (name, at), title in zip(
            draw_figures(report, path.with_suffix(""), {"noise": _draw_noise, "claim": _draw_claim, **PLOTS}).items(),
            {**_PICTURES, **TITLES}.values(),
            strict=True,
        )
    }
    model = report["model"]
    parts = [
        "# The corpus",
        f"{report['images']['train']:,} clean images for training and {report['images']['val']:,} for testing, "
        f"analysed by `scripts/analyse_dataset` with seed {report['seed']}. V4 is {model['name']} {model['version']}, "
        "weights "
        f"`sha256:{model['sha256']}`. {sum(report['unreadable'].values()):,} files could not be opened.",
        "## Contents",
        _write_sources(report),
        pictures["noise"],
        "## Near duplicates",
        *_write_duplicates(report["duplicates"]),
        "## Label noise",
        *_write_labels(report),
        "## How many images a claim needs",
        *_write_claim(report["claim"]),
        pictures["claim"],
        *write_learning(report["learning"], pictures),
        *write_shift(report["shift"], pictures),
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _write_sources(report: Report) -> str:
    rows = [
        (
            name,
            f"{each['images']:,}",
            _most(each["formats"]),
            _most(each["modes"]),
            f"{each['median_side']}",
            f"{each['median_bytes']:,}",
            f"{each['at_most_64_wide']:.0%}",
            "" if each["lsb_entropy"] is None else f"{each['lsb_entropy']:.1f}",
            _most(each["traits"]),
        )
        for name, each in report["sources"].items()
    ]
    titles = (
        "source",
        "images",
        "formats",
        "modes",
        "median side",
        "bytes",
        "at most 64 pixels wide",
        "entropy of LSBs, bits per byte",
        "traits",
    )
    return make_table(titles, rows)


def _most(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:_MOST_TRAITS])


def _write_duplicates(found: Mapping[str, Any]) -> Iterable[str]:
    yield (
        "Near duplicates are pictures of similar colour and shape whose perceptual hashes of 256 bits differ in at "
        f"most {found['nearest']}. Plain pictures are not compared, because their hashes are all alike."
    )
    rows = [
        (part, *(f"{found[key][part]:,}" for key in ("compared", "too_plain", "within", "across")))
        for part in found["compared"]
    ]
    titles = ("part", "compared", "too plain", "with a near duplicate in the same part", "in the other part")
    yield make_table(titles, rows)
    if found["pairs_across_by_sources"]:
        yield make_table(
            ("sources", "pairs across the parts"),
            ((name, f"{count}") for name, count in found["pairs_across_by_sources"].items()),
        )


def _write_labels(report: Report) -> Iterable[str]:
    yield "All images are labelled clean by their publishers. Three checks looked for wrong labels."
    yield (
        "**V4's false positives.** V4 has learnt the training part, so that no alarm there proves little; in the test "
        "part, what is read from an image shows whether V4 or the label is wrong."
    )
    yield make_table(
        ("part", "source", "image", "method", "probability", "read from it"),
        (
            (
                each["part"],
                each["source"],
                each["image"],
                each["method"] or "",
                f"{each['probability']:.4f}",
                each["holds"],
            )
            for each in report["suspects"]
        ),
    )
    yield (
        "**What can be read.** Each image was read where each of the five methods hides, whatever V4 says. Text in "
        "pixels counts from 16 characters on, or from 24 if nothing ends it."
    )
    yield make_table(
        ("carrier: content", "train", "val", "V4 says stego"),
        (
            (what, *(f"{counts.get(key, 0):,}" for key in ("train", "val", "flagged")))
            for what, counts in report["labels"]["readable"].items()
        ),
    )
    yield "Except for UserComments, which cameras and editors write, these are:"
    yield make_table(
        ("part", "source", "image", "read from it", "V4"),
        (
            (each["part"], each["source"], each["image"], ", ".join(each["readable"]), f"{each['v4']:.3f}")
            for each in report["labels"]["listed"]
        ),
    )
    yield (
        "**A second opinion.** The quick detector, trained on half of the covers of a part, judged the published "
        "images of the other half, and the reverse. These are the most suspicious ones."
    )
    yield make_table(
        ("part", "source", "image", "quick detector", "V4", "read from it"),
        (
            (
                part,
                each["source"],
                each["image"],
                f"{each['probability']:.3f}",
                f"{each['v4']:.3f}",
                ", ".join(each["readable"]),
            )
            for part, outliers in report["labels"]["outliers"].items()
            for each in outliers
        ),
    )


def _write_claim(claim: Mapping[str, Any]) -> Iterable[str]:
    yield (
        f"To claim that at most {claim['claim']:.2%} of clean images are flagged, with 95 % confidence (Clopper and "
        "Pearson, two-sided), takes this many independent images:"
    )
    yield make_table(
        ("false positives among them", "clean images"),
        ((hits, f"{count:,}") for hits, count in claim["needed"].items()),
    )
    yield (
        "What the untouched images support. Images of one source are not independent; the last column is the largest "
        "share of sources on which V4 may fail although no source of the part showed it."
    )
    rows = [
        (
            part,
            f"{each['false_positives']} of {each['images']:,}",
            f"{each['interval95'][1]:.3%}",
            f"{each['sources']}",
            f"{each['bad_sources_at_most']:.0%}",
        )
        for part, each in claim["supports"].items()
    ]
    yield make_table(("part", "false positives", "interval to", "sources", "bad sources, up to"), rows)


def _draw_noise(report: Report) -> "Figure":
    names = list(report["sources"])[::-1]
    figure, axes = open_figure(figsize=(8, 0.22 * len(names) + 1))
    left = np.zeros(len(names))
    for band in NOISE_NAMES:
        totals = [max(1, sum(report["sources"][name]["noise"].values())) for name in names]
        widths = [
            report["sources"][name]["noise"].get(band, 0) / all_ for name, all_ in zip(names, totals, strict=True)
        ]
        axes.barh(names, widths, left=left, label=band)
        left += widths
    axes.tick_params(axis="y", labelsize=6)
    axes.set(xlabel="share of the images with a carrier", xlim=(0, 1))
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, 1.06), ncols=len(NOISE_NAMES), fontsize=8)
    return figure


def _draw_claim(report: Report) -> "Figure":
    figure, axes = open_figure(figsize=(7, 3.5))
    counts = np.geomspace(500, 100_000, 40).astype(int)
    for hits in (0, 1, 3, 5):
        axes.plot(
            counts, [100 * clopper_pearson(hits, int(count))[1] for count in counts], label=f"{hits} false positives"
        )
    for part, each in report["claim"]["supports"].items():
        axes.plot(each["images"], 100 * each["interval95"][1], "o", color="black")
        axes.annotate(part, (each["images"], 100 * each["interval95"][1]), textcoords="offset points", xytext=(6, 4))
    axes.axhline(100 * report["claim"]["claim"], color="grey", linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="clean images", ylabel="upper end of the interval, %")
    axes.legend(fontsize=8)
    return figure
