"""Draws the plots of the evasion page."""

import math
from typing import TYPE_CHECKING

from research.evaluation.figures import Report, open_figure
from research.evaluation.writers import NOISE_NAMES
from research.evasion.boundary import KINDS, SIDES, SIZES

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_ways(report: Report) -> "Figure":
    """Draw the detection rate of each way to hide."""
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
    axes.set(xlim=(-0.02, 1.02), xlabel="found")
    return figure


def draw_windows(report: Report) -> "Figure":
    """Draw the mean drop of the logit by position in the bit stream."""
    figure, axes = open_figure(figsize=(8, 3.5))
    for name, each in report["explained"].items():
        windows = each["windows"]
        axes.plot([row["byte"] for row in windows], [row["fall"] for row in windows], marker=".", label=name)
    axes.axhline(0.0, color="grey", linewidth=0.8)
    axes.set(xlabel="byte of the bit stream", ylabel="mean drop of the logit")
    if report["explained"]:
        axes.legend(fontsize=8)
    return figure


def draw_examples(report: Report) -> "Figure":
    """Draw the drop of the logit for each eight bytes of each example, labelled with these bytes."""
    examples = report["examples"]
    figure, panels = open_figure(len(examples), 1, figsize=(10, 1.15 * len(examples)))
    for axes, each in zip(panels, examples, strict=True):
        windows = each["windows"]
        colours = ["tab:blue" if window["fall"] >= 0 else "tab:red" for window in windows]
        axes.bar(range(len(windows)), [window["fall"] for window in windows], color=colours)
        axes.set_xticks(range(len(windows)), [window["bytes"] for window in windows], fontsize=6, family="monospace")
        axes.axhline(0.0, color="grey", linewidth=0.8)
        axes.set_title(
            f"{each['hidden']}: logit {each['logit']:.1f}, of the cover {each['logit_of_cover']:.1f}", fontsize=8
        )
        axes.tick_params(axis="y", labelsize=5)
    panels[-1].set_xlabel("bytes that the least significant bits spell, eight at a time")
    figure.supylabel("drop of the logit", fontsize=8)
    return figure


def draw_boundary(report: Report) -> "Figure":
    """Draw the map: a panel for each kind of payload and noise, with a cell for each side and size."""
    found = report["boundary"]["found"]
    figure, panels = open_figure(len(KINDS), len(NOISE_NAMES), figsize=(13, 5), sharex=True, sharey=True)
    for row, kind in zip(panels, KINDS, strict=True):
        for axes, band in zip(row, NOISE_NAMES, strict=True):
            cells = found.get(kind, {}).get(band, {})
            grid = [[cells.get(str(side), {}).get(str(size)) for size in SIZES] for side in SIDES]
            shares = [[cell["share"] if cell else math.nan for cell in line] for line in grid]
            axes.pcolormesh(range(len(SIZES) + 1), range(len(SIDES) + 1), shares, vmin=0, vmax=1, cmap="RdYlGn")
            for y, line in enumerate(grid):
                for x, cell in enumerate(line):
                    if cell:
                        text = f"{100 * cell['share']:.0f}\n{cell['of']}"
                        axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=6)
            axes.set_xticks([place + 0.5 for place in range(len(SIZES))], [str(size) for size in SIZES], fontsize=7)
            axes.set_yticks([place + 0.5 for place in range(len(SIDES))], [str(side) for side in SIDES], fontsize=7)
            axes.set_title(f"{kind}, cover: {band}", fontsize=9)
            axes.grid(visible=False)
    panels[-1][0].set(xlabel="bytes of payload", ylabel="side of the picture in pixels")
    return figure
