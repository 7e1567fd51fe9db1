"""Writes the analysis of a corpus as a Markdown page with plots."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from research.evaluation.figures import Report, draw_figures, open_figure
from research.evaluation.intervals import clopper_pearson
from research.evaluation.markdown import make_table, write_rate
from research.evaluation.writers import NOISE_NAMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PICTURES: Final = {
    "noise": "How noisy the carriers of each source's images are.",
    "claim": "Where the 95 % interval of the false positives ends; points are what the parts support.",
    "curve": "A quick detector that learns from more and more covers.",
    "left_out": "False positives on each source, if a quick detector has learnt from it or not, "
    "at thresholds for 1 % on the other sources.",
}
_MOST_TRAITS: Final = 3


def write_page(report: Report, path: Path) -> None:
    """Write the page to `path` and its plots to a folder of the same name beside it."""
    figures = {"noise": _draw_noise, "claim": _draw_claim, "curve": _draw_curve, "left_out": _draw_left_out}
    pictures = {
        name: f"![{_PICTURES[name]}]({at.parent.name}/{at.name})\n\n{_PICTURES[name]}"
        for name, at in draw_figures(report, path.with_suffix(""), figures).items()
    }
    model = report["model"]
    parts = [
        "# The corpus",
        f"{report['images']['train']:,} clean images to learn from and {report['images']['val']:,} to measure on, "
        f"looked at by `scripts/analyse_dataset`; seed {report['seed']}. Where V4 is asked, it is {model['name']} "
        f"{model['version']}, weights `sha256:{model['sha256']}`. "
        f"{sum(report['unreadable'].values()):,} files cannot be opened and are left out.",
        "## What is in it",
        _write_sources(report),
        pictures["noise"],
        "## Near duplicates",
        *_write_duplicates(report["duplicates"]),
        "## Clean images that V4 takes for stego",
        "Labels are those of the publishers; what V4 reads there tells whether it is V4 or the label that is wrong.",
        _write_suspects(report),
        "## How many images a claim needs",
        *_write_claim(report["claim"]),
        pictures["claim"],
        "## What more covers would bring",
        f"A quick detector (trees on statistics) learns from {report['examples']:,} examples each time, made of a "
        "growing share of the covers, and is shown those of the other part. The first two columns of figures are at a "
        "probability of 0.97.",
        _write_curve(report),
        pictures["curve"],
        "## A source that was never seen",
        "The quick detector, at the threshold for 1 % false positives on the other sources.",
        _write_left_out(report),
        pictures["left_out"],
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
        "at most 64 wide",
        "bits a byte of LSB",
        "traits",
    )
    return make_table(titles, rows)


def _most(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:_MOST_TRAITS])


def _write_duplicates(found: Mapping[str, Any]) -> Iterable[str]:
    yield (
        f"Pictures whose hashes of 256 bits differ in at most {found['nearest']}, of like colour and shape. Plain "
        "pictures, which all look alike to a hash, are not compared."
    )
    rows = [
        (part, *(f"{found[key][part]:,}" for key in ("compared", "too_plain", "within", "across")))
        for part in found["compared"]
    ]
    yield make_table(("part", "compared", "too plain", "with one like it in the part", "in the other part"), rows)
    if found["pairs_across_by_sources"]:
        yield make_table(
            ("sources", "pairs across"),
            ((name, f"{count}") for name, count in found["pairs_across_by_sources"].items()),
        )


def _write_suspects(report: Report) -> str:
    rows = [
        (
            each["part"],
            each["source"],
            each["image"],
            each["method"] or "",
            f"{each['probability']:.4f}",
            each["holds"],
        )
        for each in report["suspects"]
    ]
    return make_table(("part", "source", "image", "method", "probability", "holds"), rows)


def _write_claim(claim: Mapping[str, Any]) -> Iterable[str]:
    yield (
        f"That at most {claim['claim']:.2%} of clean images are taken for stego, with 95 % confidence (Clopper and "
        "Pearson, two-sided), needs so many independent ones:"
    )
    yield make_table(
        ("taken for stego", "clean images"), ((hits, f"{count:,}") for hits, count in claim["needed"].items())
    )
    yield "What the untouched images support, and of what share of sources nothing is known though none was bad:"
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
    yield make_table(("part", "taken for stego", "interval ends at", "sources", "bad sources, at most"), rows)


def _write_curve(report: Report) -> str:
    rows = [
        (
            f"{point['covers']:,}",
            write_rate(point["false_positives"]),
            f"{point['found']['share']:.1%}",
            f"{point['found_at_allowed']['share']:.1%}",
        )
        for point in report["curve"]
    ]
    return make_table(("covers", "false positives", "found", "found at 1 % false positives"), rows)


def _write_left_out(report: Report) -> str:
    rows = [
        (
            name,
            *(write_rate(row[label]["false_positives_at_allowed"]) for label in ("learnt from", "left out")),
            *(f"{row[label]['found_at_allowed']['share']:.1%}" for label in ("learnt from", "left out")),
        )
        for name, row in report["left_out"].items()
    ]
    titles = ("source", "false positives, learnt from", "left out", "found, learnt from", "left out")
    return make_table(titles, rows)


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
            counts, [100 * clopper_pearson(hits, int(count))[1] for count in counts], label=f"{hits} taken for stego"
        )
    for part, each in report["claim"]["supports"].items():
        axes.plot(each["images"], 100 * each["interval95"][1], "o", color="black")
        axes.annotate(part, (each["images"], 100 * each["interval95"][1]), textcoords="offset points", xytext=(6, 4))
    axes.axhline(100 * report["claim"]["claim"], color="grey", linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="clean images", ylabel="interval ends at, %")
    axes.legend(fontsize=8)
    return figure


def _draw_curve(report: Report) -> "Figure":
    figure, axes = open_figure(figsize=(7, 3.5))
    covers = [point["covers"] for point in report["curve"]]
    for key, label in (("false_positives", "false positives"), ("found_at_allowed", "missed at 1 % false positives")):
        rates = [point[key] for point in report["curve"]]
        missed = key != "false_positives"
        shares = [100 * (1 - rate["share"] if missed else rate["share"]) for rate in rates]
        ends = [[100 * (1 - end if missed else end) for end in rate["interval95"]] for rate in rates]
        around = [
            [max(0.0, share - min(end)) for share, end in zip(shares, ends, strict=True)],
            [max(0.0, max(end) - share) for share, end in zip(shares, ends, strict=True)],
        ]
        axes.errorbar(covers, shares, yerr=around, marker="o", label=label)
    axes.set(xscale="log", ylim=(0, None), xlabel="covers that were learnt from", ylabel="%")
    axes.legend(fontsize=8)
    return figure


def _draw_left_out(report: Report) -> "Figure":
    names = list(report["left_out"])[::-1]
    figure, axes = open_figure(figsize=(8, 0.4 * len(names) + 1))
    for number, label in enumerate(("learnt from", "left out")):
        shares = [100 * report["left_out"][name][label]["false_positives_at_allowed"]["share"] for name in names]
        axes.barh([place + 0.35 * (0.5 - number) for place in range(len(names))], shares, height=0.35, label=label)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set(xlabel="taken for stego, %")
    axes.legend(fontsize=8)
    return figure
