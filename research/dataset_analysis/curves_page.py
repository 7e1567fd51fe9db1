"""Writes the part of the corpus' page about learning curves and source shift, with its plots."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from research.dataset_analysis.shift import LABELS
from research.evaluation.figures import Report, open_figure
from research.evaluation.markdown import make_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES: Final = {
    "curve": "Learning curves of the quick detector on unseen sources: each point is a training, the line the fitted "
    "curve, the area its 95 % interval.",
    "left_out": "The quick detector on each source, if it has learnt from it or not.",
}


def write_learning(learning: Mapping[str, Any], pictures: Mapping[str, str]) -> Iterable[str]:
    """Yield the paragraphs about more covers and more sources."""
    test, repeats = learning["test"], learning["repeats"]
    allowed, wanted = f"{learning['allowed']:.0%}", f"{learning['wanted']:.0%}"
    yield "## What more covers would bring"
    yield (
        f"A quick detector, {learning['trees']} boosted trees on V4's statistics, was trained on growing parts of the "
        f"corpus, {repeats} times at each size with other covers, payloads and trees. Each cover gives three examples: "
        "the published image, one with a payload like those that V4 is trained on, and its twin; the five methods are "
        f"equally likely. The test set has {test['clean']:,} clean and {test['stego']:,} stego images of "
        f"{test['sources']} other sources. Values are means of the trainings, with the lowest and the highest."
    )
    titles = (f"missed at {allowed} false positives", f"false positives where {wanted} are found")
    more_titles = (
        f"missed at {allowed}, covers of the sources that were learnt from",
        f"false positives at the threshold for {allowed} of those",
    )
    keys = ("missed", "false_positives", "known_missed", "carried_false_positives")
    yield make_table(
        ("covers", *titles, *more_titles),
        ((f"{row['covers']:,}", *(_write_spread(row[key]) for key in keys)) for row in learning["covers"]),
    )
    yield (
        "The last two columns use a tenth of the covers, which no detector learns from: whether new images of known "
        "sources are easier than other sources, and whether a threshold that is chosen on them holds on the test "
        "sources."
    )
    yield pictures["curve"]
    yield (
        "The curve is floor + scale · covers^-exponent, fitted by least squares of relative errors to the sizes at "
        "which less than half is missed. Intervals are from resampling both the test sources and the trainings."
    )
    yield _write_fits(learning)
    tenfold, checked, seen = learning["tenfold"], learning["checked"], learning["covers"][-1]
    yield (
        f"**Ten times more covers** of the same kind would multiply the misses at {allowed} false positives by "
        f"{_write_value(tenfold['missed']['ratio'])}, and the false positives where {wanted} are found by "
        f"{_write_value(tenfold['false_positives']['ratio'])}."
    )
    before = learning["covers"][-2]
    yield (
        f"**The last doubling**, from {before['covers']:,} to {seen['covers']:,} covers, multiplied them by "
        f"{np.mean(seen['missed']) / np.mean(before['missed']):.2f} and "
        f"{np.mean(seen['false_positives']) / np.mean(before['false_positives']):.2f} in the means."
    )
    yield (
        f"**Check of the method:** fitted up to {checked['missed']['last_size']:,} covers only, the curve predicts "
        f"{_write_share(checked['missed']['target'])} missed at {seen['covers']:,} covers, where "
        f"{np.mean(seen['missed']):.2%} were measured, and {_write_share(checked['false_positives']['target'])} false "
        f"positives, where {np.mean(seen['false_positives']):.2%} were measured."
    )
    yield "## What more sources would bring"
    yield (
        f"The same with {learning['covers_from_sources']} covers each time, evenly from a number of sources that are "
        "drawn among those with enough images."
    )
    yield make_table(
        ("sources", *titles),
        ((f"{row['sources']}", *(_write_spread(row[key]) for key in keys[:2])) for row in learning["sources"]),
    )
    more = learning["doubled_sources"]
    yield (
        "Twice as many sources, with no more covers, would multiply the misses by "
        f"{_write_value(more['missed']['ratio'])} "
        f"and the false positives by {_write_value(more['false_positives']['ratio'])}."
    )


def write_shift(shift: Mapping[str, Any], pictures: Mapping[str, str]) -> Iterable[str]:
    """Yield the paragraphs about sources that were left out."""
    yield "## An unseen source"
    yield (
        "Half of each source's covers were for training, at most 300; the others for testing. Each source was once "
        "left "
        f"out of the training. Thresholds allow {shift['allowed']:.0%} false positives on the other sources. Values "
        "are "
        f"means of {shift['repeats']} trainings."
    )
    rows = [
        (name, *(f"{np.mean(row[f'{key}, {label}']):.1%}" for key in ("false positives", "found") for label in LABELS))
        for name, row in shift["sources"].items()
    ]
    titles = [f"{key}, {label}" for key in ("false positives", "found") for label in LABELS]
    if shift["mean"]:
        rows.append(("**mean of the sources**", *(_write_share(shift["mean"][title]) for title in titles)))
    yield make_table(("source", *titles), rows)
    if shift["mean"]:
        yield (
            "Leaving a source out changes its false positives by "
            f"{_write_points(shift['mean']['false positives, change'])} "
            f"percentage points, and what is found by {_write_points(shift['mean']['found, change'])}, in the mean of "
            f"{len(shift['sources'])} sources."
        )
    yield pictures["left_out"]


def _write_fits(learning: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            _write_value(fitted["exponent"]),
            _write_share(fitted["floor"]),
            _write_share(fitted["last"]),
            _write_share(fitted["target"]),
        )
        for key, name in (("missed", "missed"), ("false_positives", "false positives"))
        for fitted in (learning["tenfold"][key],)
    ]
    fitted = learning["tenfold"]["missed"]
    titles = (
        "curve of",
        "exponent",
        "floor",
        f"at {fitted['last_size']:,} covers",
        f"at {fitted['target_size']:,}, extrapolated",
    )
    return make_table(titles, rows)


def _write_spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2%} ({min(values):.2%} to {max(values):.2%})"


def _write_share(value: Mapping[str, Any]) -> str:
    low, high = value["interval95"]
    return f"{value['value']:.2%} ({low:.2%} to {high:.2%})"


def _write_value(value: Mapping[str, Any]) -> str:
    low, high = value["interval95"]
    return f"{value['value']:.2f} ({low:.2f} to {high:.2f})"


def _write_points(value: Mapping[str, Any]) -> str:
    low, high = value["interval95"]
    return f"{100 * value['value']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _draw_curve(report: Report) -> "Figure":
    learning = report["learning"]
    figure, panels = open_figure(1, 2, figsize=(10, 3.8))
    labels = {
        "missed": f"missed at {learning['allowed']:.0%} false positives, %",
        "false_positives": f"false positives where {learning['wanted']:.0%} are found, %",
    }
    for axes, (key, label) in zip(panels, labels.items(), strict=True):
        rows, fitted = learning["covers"], learning["tenfold"][key]
        sizes = [row["covers"] for row in rows for _ in row[key]]
        axes.plot(sizes, [100 * value for row in rows for value in row[key]], "o", markersize=3, label="trainings")
        at = [point["size"] for point in fitted["band"]]
        axes.plot(at, [100 * point["value"] for point in fitted["band"]], label="fitted curve")
        low, high = ([100 * point["interval95"][end] for point in fitted["band"]] for end in (0, 1))
        axes.fill_between(at, low, high, alpha=0.2)
        axes.axvline(fitted["last_size"], color="grey", linestyle=":", label="the whole corpus")
        axes.set(xscale="log", yscale="log", xlabel="covers", ylabel=label)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    panels[0].legend(fontsize=8)
    return figure


def _draw_left_out(report: Report) -> "Figure":
    rows = report["shift"]["sources"]
    figure, panels = open_figure(1, 2, figsize=(10, 0.25 * len(rows) + 1.2), sharey=True)
    names = list(rows)[::-1]
    for axes, key in zip(panels, ("false positives", "found"), strict=True):
        for height, name in enumerate(names):
            with_, without = (100 * np.mean(rows[name][f"{key}, {label}"]) for label in LABELS)
            axes.plot([with_, without], [height, height], color="grey", linewidth=1)
            axes.plot(with_, height, "o", color="tab:blue", markersize=5, label=LABELS[0] if not height else None)
            axes.plot(without, height, "o", color="tab:red", markersize=5, label=LABELS[1] if not height else None)
        axes.set(xlabel=f"{key}, %")
        axes.set_yticks(range(len(names)), names, fontsize=7)
    if names:
        panels[1].legend(fontsize=8)
    return figure


PLOTS: Final = {"curve": _draw_curve, "left_out": _draw_left_out}
