"""Draws the plots of the comparison's page."""

from typing import TYPE_CHECKING

from research.evaluation.figures import Report, open_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_found(report: Report) -> "Figure":
    """Draw each detector's detection rate by method and kind of payload."""
    by_detector = next(iter(report["found"].values()))
    cells = [
        (method, group)
        for method, groups in next(iter(by_detector.values()))["found"].items()
        for group, rate in groups.items()
        if rate["of"]
    ]
    figure, axes = open_figure(figsize=(9, 0.5 * len(cells) + 1.5))
    height = 0.8 / len(by_detector)
    for number, (name, found) in enumerate(by_detector.items()):
        shares = [found["found"][method][group]["share"] for method, group in cells]
        axes.barh([place - height * number for place in range(len(cells), 0, -1)], shares, height=height, label=name)
    axes.set_yticks([place - 0.32 for place in range(len(cells), 0, -1)], [f"{m}: {g}" for m, g in cells], fontsize=8)
    axes.set(xlabel="found", xlim=(0, 1.02))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.1), ncols=len(by_detector), fontsize=8)
    return figure


def draw_curves(report: Report) -> "Figure":
    """Draw each detector's detection rate of payloads in pixels by false positives."""
    figure, axes = open_figure(figsize=(7, 4))
    for name, points in report["curves"].items():
        axes.plot([p["false_positives"] for p in points], [p["found"] for p in points], marker=".", label=name)
    axes.set(
        xscale="log", ylim=(0, 1.02), xlabel="false positives among clean images", ylabel="payloads in pixels found"
    )
    axes.legend(loc="lower right", fontsize=8)
    return figure


def draw_elsewhere(report: Report) -> "Figure":
    """Draw each detector's detection rate of payloads that V4 was not made for."""
    rows = {way: each["found"] for way, each in report["elsewhere"].items()}
    detectors = list(next(iter(rows.values())))
    figure, axes = open_figure(figsize=(10, 0.3 * len(rows) + 0.9))
    for number, name in enumerate(detectors):
        rates = [each[name] for each in rows.values()][::-1]
        heights = [place + 0.12 * (len(detectors) / 2 - number) for place in range(len(rates))]
        around = [
            [rate["share"] - rate["interval95"][0] for rate in rates],
            [rate["interval95"][1] - rate["share"] for rate in rates],
        ]
        axes.errorbar(
            [rate["share"] for rate in rates], heights, xerr=around, fmt="o", markersize=3, linewidth=0.8, label=name
        )
    axes.set_yticks(range(len(rows)), list(rows)[::-1], fontsize=8)
    axes.set(xlabel="found", xlim=(-0.02, 1.02))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.1), ncols=len(detectors), fontsize=8)
    return figure
