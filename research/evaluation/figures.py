"""Draws plots of a report as reproducible SVG files, and defines those of a validation report."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlight_vocabulary.words import METHODS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Report = Mapping[str, Any]

_STYLE: Final[Any] = {"svg.hashsalt": "starlight", "svg.fonttype": "none", "axes.grid": True, "grid.alpha": 0.3}
_NO_DATE: Final = {"Date": None}
_SIZES: Final = {"text": "text_by_size", "short text": "short_by_size", "ciphertext": "binary_by_size"}


def draw_figures(
    report: Report, folder: Path, figures: "Mapping[str, Callable[[Report], Figure]] | None" = None
) -> dict[str, Path]:
    """Draw `figures` (default: those of a validation) into `folder`, created if missing; return paths by name."""
    # Here and below: it takes longer to load than all else that this is imported with.
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    with pyplot.rc_context(_STYLE):
        for name, draw in (figures or _FIGURES).items():
            figure = draw(report)
            drawn[name] = folder / f"{name}.svg"
            figure.savefig(drawn[name], metadata=_NO_DATE)
            pyplot.close(figure)
    return drawn


def open_figure(
    rows: int = 1,
    columns: int = 1,
    *,
    figsize: tuple[float, float],
    sharex: bool = False,
    sharey: bool = False,
    height_ratios: Sequence[float] | None = None,
) -> "tuple[Figure, Any]":
    """Return a new figure and its axes; the options are those of `pyplot.subplots`."""
    from matplotlib import pyplot

    return pyplot.subplots(
        rows, columns, figsize=figsize, sharex=sharex, sharey=sharey, height_ratios=height_ratios, layout="constrained"
    )


def _roc(report: Report) -> "Figure":
    figure, axes = open_figure(figsize=(7, 4))
    # A logarithmic axis has no zero: points without false positives are drawn at half of the smallest possible rate.
    least = 0.5 / report["false_positives"]["all"]["of"]
    rates = [max(point["false_positives"], least) for point in report["curve"]]
    for method in METHODS:
        axes.plot(rates, [point["detection_by_method"][method] for point in report["curve"]], label=method, marker=".")
    axes.axvline(max(report["false_positives"]["all"]["share"], least), color="black", linestyle=":", label="threshold")
    axes.set(
        xscale="log", xlim=(least, 0.02), ylim=(0.95, 1.001), xlabel="false positives among clean images",
        ylabel="text payloads found", title="ROC near zero",
    )  # fmt: skip
    axes.legend(loc="lower right")
    return figure


def _detection(report: Report) -> "Figure":
    figure, panels = open_figure(1, 3, figsize=(12, 4), sharey=True)
    for axes, (title, key) in zip(panels, _SIZES.items(), strict=True):
        for number, method in enumerate(METHODS):
            _with_intervals(axes, report["detection"]["by_method"][method][key], method, 0.08 * (number - 2))
        axes.set(title=title, xlabel="bytes of payload", ylim=(0, 1.02))
        axes.tick_params(axis="x", labelrotation=45)
    panels[0].set_ylabel("found, with 95 % interval")
    panels[0].legend(loc="lower right")
    return figure


def _with_intervals(axes: "Axes", by_size: Mapping[str, Any], label: str, shift: float) -> None:
    rates = {size: rate for size, rate in by_size.items() if rate["of"]}
    positions = [list(by_size).index(size) + shift for size in rates]
    shares = [rate["share"] for rate in rates.values()]
    low = [max(0.0, rate["share"] - rate["interval95"][0]) for rate in rates.values()]
    high = [max(0.0, rate["interval95"][1] - rate["share"]) for rate in rates.values()]
    axes.errorbar(positions, shares, yerr=[low, high], label=label, fmt="o", markersize=3, linewidth=1)
    axes.set_xticks(range(len(by_size)), list(by_size))


def _reliability(report: Report) -> "Figure":
    figure, (diagram, counts) = open_figure(2, 1, figsize=(5, 6), sharex=True, height_ratios=(3, 1))
    bins = report["calibration"]["bins"]
    stated = [each["probability"] for each in bins]
    diagram.plot([0, 1], [0, 1], color="grey", linestyle=":")
    diagram.plot(stated, [each["share"] for each in bins], marker="o")
    diagram.set(
        ylabel="share that is stego",
        title=f"Reliability, expected calibration error {report['calibration']['expected_error']:.4f}",
    )
    counts.bar(stated, [each["count"] for each in bins], width=0.03)
    counts.set(yscale="log", xlabel="stego probability", ylabel="images")
    return figure


def _false_positives(report: Report) -> "Figure":
    figure, axes = open_figure(figsize=(8, 6))
    measured = report["false_positives"]
    rates = {
        **{f"untouched: {name}": rate for name, rate in measured["untouched_by_source"].items()},
        **measured["drawn_by_kind"],
        **measured["by_trait"],
    }
    taken = {name: rate for name, rate in rates.items() if rate["count"]}
    worst = sorted(taken.items(), key=lambda item: item[1]["share"])[-24:]
    names = [f"{name} ({rate['count']} of {rate['of']})" for name, rate in worst]
    axes.barh(names, [100 * rate["share"] for _, rate in worst])
    axes.set(xlabel="false positives, %", title="Highest false-positive rates by kind")
    return figure


def _hidden(report: Report) -> "Figure":
    kinds = report["by_size_and_noise"]
    figure, panels = open_figure(len(kinds), len(METHODS), figsize=(15, 6))
    for row, (kind, of_methods) in zip(panels, kinds.items(), strict=True):
        for axes, method in zip(row, METHODS, strict=True):
            _draw_grid(axes, of_methods[method])
            axes.set_title(f"{method}: {kind}", fontsize=9)
    panels[-1][0].set_xlabel("bytes of payload")
    panels[-1][0].set_ylabel("cover noise")
    return figure


def _draw_grid(axes: "Axes", grid: Mapping[str, Any]) -> None:
    """Draw detection rates as coloured cells by size (x) and noise (y); cells without a trial stay white."""
    noises = list(grid)
    sizes = list(grid[noises[0]])
    shares = [
        [grid[noise][size]["share"] if grid[noise][size]["of"] else math.nan for size in sizes] for noise in noises
    ]
    axes.pcolormesh(range(len(sizes) + 1), range(len(noises) + 1), shares, vmin=0, vmax=1, cmap="RdYlGn")
    for level, noise in enumerate(noises):
        for position, size in enumerate(sizes):
            cell = grid[noise][size]
            if cell["of"]:
                text = f"{100 * cell['share']:.1f}\n{cell['of']}"
                axes.text(position + 0.5, level + 0.5, text, ha="center", va="center", fontsize=6)
    axes.set_xticks([place + 0.5 for place in range(len(sizes))], sizes, rotation=45, fontsize=6)
    axes.set_yticks([place + 0.5 for place in range(len(noises))], noises, fontsize=6)
    axes.grid(visible=False)


_FIGURES: "Final[dict[str, Callable[[Report], Figure]]]" = {
    "roc": _roc,
    "detection": _detection,
    "reliability": _reliability,
    "false_positives": _false_positives,
    "hidden": _hidden,
}
