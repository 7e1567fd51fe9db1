"""Writes the measurements of evasion as a Markdown page with plots."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from research.evaluation.figures import Report, draw_figures, open_figure
from research.evaluation.markdown import make_table, write_rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PICTURES: Final = {
    "ways": "Share found at V4's own threshold, with 95 % interval; filled: V4 was made for it.",
    "windows": "How far the stego logit falls where eight bytes are as in the cover again, by their place.",
}


def write_page(report: Report, path: Path) -> None:
    """Write the page to `path` and its plots to a folder of the same name beside it."""
    pictures = draw_figures(report, path.with_suffix(""), {"ways": _draw_ways, "windows": _draw_windows})
    model, corpus = report["model"], report["corpus"]
    parts = [
        f"# Hiding from {model['name']} {model['version']}",
        f"Weights `sha256:{model['sha256']}`, threshold {model['threshold']}. Measured by `scripts/measure_evasion` on "
        f"{corpus['covers']} covers, seed {corpus['seed']}: RGB, 64 to 256 pixels wide and high, saved as PNG. "
        f"The second threshold is the one that {report['allowed']:.0%} of the group's clean images exceed. "
        "Intervals are Clopper and Pearson's, 95 %.",
        *(f"![{_PICTURES[name]}]({at.parent.name}/{at.name})\n\n{_PICTURES[name]}" for name, at in pictures.items()),
        *_write_groups(report),
        "## Damaged files",
        "A text of 200 bytes in `lsb.rgb`; a worker decodes what can still be seen of the picture.",
        _write_damages(report["damages"]),
        "## What the answers rest on",
        "Median stego logit of images that were found, with all streams and without each; a stream that is not named "
        "changes it by less than 1.",
        _write_streams(report["explained"]),
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _write_groups(report: Report) -> Iterable[str]:
    for name, group in report["groups"].items():
        yield f"## By {name}" if not name.startswith("elsewhere") else f"## {name.capitalize()}"
        yield f"Clean images taken for stego: {write_rate(group['false_positives'])}."
        rows = [
            (way, "yes" if row["known"] else "", write_rate(row["found"]), f"{row['found_at_allowed']['share']:.1%}")
            for way, row in group["ways"].items()
        ]
        yield make_table(("way", "V4 was made for it", "found", f"at {report['allowed']:.0%} false positives"), rows)


def _write_damages(damages: Mapping[str, Any]) -> str:
    rows = [
        (name, *(f"{row[key]['share']:.1%}" for key in ("decoded", "found", "false_positives")))
        for name, row in damages.items()
    ]
    return make_table(("damage", "decoded", "found, of all", "clean ones taken for stego"), rows)


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


def _draw_ways(report: Report) -> "Figure":
    rows = [
        (way, row)
        for group in report["groups"].values()
        for way, row in group["ways"].items()
    ][::-1]  # fmt: skip
    figure, axes = open_figure(figsize=(9, 0.22 * len(rows) + 1))
    for height, (_, row) in enumerate(rows):
        rate = row["found"]
        low, high = rate["interval95"]
        around = [[max(0.0, rate["share"] - low)], [max(0.0, high - rate["share"])]]
        axes.errorbar(
            rate["share"], height, xerr=around, fmt="o", color="tab:blue", markersize=4,
            markerfacecolor="tab:blue" if row["known"] else "white",
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [way for way, _ in rows], fontsize=7)
    axes.set(xlim=(-0.02, 1.02), xlabel="found", title="An adversary who knows V4")
    return figure


def _draw_windows(report: Report) -> "Figure":
    figure, axes = open_figure(figsize=(8, 3.5))
    for name, each in report["explained"].items():
        windows = each["windows"]
        axes.plot([row["byte"] for row in windows], [row["fall"] for row in windows], marker=".", label=name)
    axes.axhline(0.0, color="grey", linewidth=0.8)
    axes.set(xlabel="byte of the bit stream", ylabel="mean fall of the logit", title="Where the evidence lies")
    if report["explained"]:
        axes.legend(fontsize=8)
    return figure
