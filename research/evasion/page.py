"""Writes the measurements of evasion as a Markdown page with plots."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from research.evaluation.figures import Report, draw_figures
from research.evaluation.markdown import make_table, write_rate
from research.evaluation.writers import NOISE_NAMES
from research.evasion.boundary import FOUND
from research.evasion.plots import draw_boundary, draw_examples, draw_ways, draw_windows

_PICTURES: Final = {
    "ways": "Share found at V4's own threshold, with 95 % interval. Filled: V4 was trained for it.",
    "windows": "Mean drop of the stego logit when eight bytes of the payload are restored to those of the cover, by "
    "their position.",
    "examples": "The same sentence in the same drawn picture, hidden in four ways. Each bar is the drop of the logit "
    "when its eight bytes are restored to those of the cover; `_` is a space, `·` a byte that is not printable ASCII.",
    "boundary": "Share found in % in `lsb.rgb`, by bytes of payload, side of the picture, and noise of the cover; "
    "below it, the number of covers. White: the payload does not fit, or there was no such cover.",
}
_PLOTS: Final = {
    "ways": draw_ways,
    "windows": draw_windows,
    "examples": draw_examples,
    "boundary": draw_boundary,
}


def write_page(report: Report, path: Path) -> None:
    """Write the page to `path` and its plots to a folder of the same name beside it."""
    pictures = {
        name: f"![{_PICTURES[name]}]({at.parent.name}/{at.name})\n\n{_PICTURES[name]}"
        for name, at in draw_figures(report, path.with_suffix(""), _PLOTS).items()
    }
    model, corpus = report["model"], report["corpus"]
    parts = [
        f"# Evading {model['name']} {model['version']}",
        f"Measured by `scripts/measure_evasion` on {corpus['covers']} covers with seed {corpus['seed']}: RGB pictures "
        f"of 64 to 256 pixels on each side, saved as PNG. Weights `sha256:{model['sha256']}`, threshold "
        f"{model['threshold']}. The last column of each table is at the threshold that {report['allowed']:.0%} of the "
        "clean covers exceed. Intervals are Clopper and Pearson's, at 95 %.",
        pictures["ways"],
        *_write_groups(report),
        "## Damaged files",
        "A text of 200 bytes in `lsb.rgb`. As in a worker, whatever can be decoded of a damaged picture is scored.",
        _write_damages(report["damages"]),
        "## The boundary",
        *_write_boundary(report["boundary"]),
        pictures["boundary"],
        "## What the answers are based on",
        "Median stego logit of the images that were found, with all streams and without each one. Streams that are not "
        "listed change it by less than 1.",
        _write_streams(report["explained"]),
        pictures["windows"],
        "## Four examples",
        f"An image counts as stego from a logit of {_to_logit(model['threshold']):.1f} on.",
        _write_examples(report["examples"]),
        pictures["examples"],
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _to_logit(probability: float) -> float:
    return math.log(probability / (1.0 - probability))


def _write_groups(report: Report) -> Iterable[str]:
    for name, group in report["groups"].items():
        yield f"## By {name}" if not name.startswith("elsewhere") else f"## {name.capitalize()}"
        yield f"False positives on clean covers: {write_rate(group['false_positives'])}."
        rows = [
            (way, "yes" if row["known"] else "", write_rate(row["found"]), f"{row['found_at_allowed']['share']:.1%}")
            for way, row in group["ways"].items()
        ]
        yield make_table(("way to hide", "trained for", "found", f"at {report['allowed']:.0%} false positives"), rows)


def _write_damages(damages: Mapping[str, Any]) -> str:
    rows = [
        (name, *(f"{row[key]['share']:.1%}" for key in ("decoded", "found", "false_positives")))
        for name, row in damages.items()
    ]
    return make_table(("damage", "decoded", "found, of all", "false positives"), rows)


def _write_boundary(boundary: Mapping[str, Any]) -> Iterable[str]:
    yield (
        f"{boundary['covers']} square pieces of pictures of each size, from anywhere in a picture. False positives on "
        "the pieces themselves, by side: "
        + ", ".join(f"{side}: {rate['count']} of {rate['of']}" for side, rate in boundary["false_positives"].items())
        + "."
    )
    yield (
        f"The smallest payload in bytes from which on all larger ones that fit are found in at least {FOUND:.0%} of "
        "the covers; a dash means that there is none."
    )
    sides = list(boundary["false_positives"])
    for kind, bands in boundary["least"].items():
        rows = [
            (band, *(_write_least(least, side) for side in sides)) for band in NOISE_NAMES if (least := bands.get(band))
        ]
        yield make_table((f"{kind}, by noise of the cover", *(f"{side} x {side}" for side in sides)), rows)


def _write_least(least: Mapping[str, int | None], side: str) -> str:
    if side not in least:
        return ""
    return "—" if least[side] is None else f"{least[side]:,}"


def _write_streams(explained: Mapping[str, Any]) -> str:
    names = list(explained)
    streams = (
        [
            stream
            for stream in next(iter(explained.values()))["logit_without"]
            if any(
                abs(each["logit_without"][stream] - each["logit_without"]["none"]) >= 1.0 for each in explained.values()
            )
        ]
        if explained
        else []
    )
    rows = [
        (f"without `{stream}`" if stream != "none" else "all streams",
         *(f"{explained[name]['logit_without'][stream]:.1f}" for name in names))
        for stream in ("none", *streams)
    ]  # fmt: skip
    return make_table(("", *(f"{name} ({explained[name]['examples']})" for name in names)), rows)


def _write_examples(examples: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        (each["hidden"], f"{each['logit_of_cover']:.1f}", f"{each['logit']:.1f}", _name_strongest(each["windows"]))
        for each in examples
    ]
    return make_table(("hidden", "logit of the cover", "logit with it", "strongest eight bytes"), rows)


def _name_strongest(windows: Iterable[Mapping[str, Any]]) -> str:
    strongest = max(windows, key=lambda window: window["fall"])
    return f"`{strongest['bytes']}`, {strongest['fall']:.1f}"
