"""Writes the comparison as a Markdown page with plots."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from research.evaluation.figures import Report, draw_figures, open_figure
from research.evaluation.markdown import make_table, write_rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WHAT: Final = {
    "V4": "the shipped network",
    "boosting": "statistics of bytes, pairs and the picture in grown trees, no network",
    "convolution": "a small spatial network on high-pass residuals; sees pixels alone",
    "surprise": "how surprising a beginning is to a table of clean bytes; no payload was shown",
    "ratio": "the table of clean bytes against tables of payloads",
}
_PICTURES: Final = {
    "found": "Share found at 1 % false positives, by method and what is hidden.",
    "curves": "Share of payloads in pixels found against false positives.",
}


def write_page(report: Report, path: Path) -> None:
    """Write the page to `path` and its plots to a folder of the same name beside it."""
    pictures = draw_figures(report, path.with_suffix(""), {"found": _draw_found, "curves": _draw_curves})
    model, examples = report["model"], report["examples"]
    first = _percent(next(iter(report["found"])))
    parts = [
        "# Other approaches beside V4",
        f"V4 is {model['name']} {model['version']}, weights `sha256:{model['sha256']}`. Measured by "
        f"`scripts/compare_architectures`: {examples['train']:,} examples to learn from, {examples['test']:,} to "
        f"measure on, of other sources, {examples['test_clean']:,} of them clean; seed {examples['seed']}. V4 has "
        "learnt from far more. Every threshold is the one that so many of the clean examples exceed, V4's too. "
        f"Statistics of the picture and the spatial network see its upper left {examples['side']} by "
        f"{examples['side']} pixels.",
        "## What they are, and what an image costs",
        _write_costs(report),
        "Milliseconds of one core's processor time, without decoding: to take from the picture what the detector "
        "needs, and to score it, many at once.",
        *(f"![{_PICTURES[name]}]({at.parent.name}/{at.name})\n\n{_PICTURES[name]}" for name, at in pictures.items()),
        *_write_found(report),
        "## What they find that V4 misses",
        f"Of the stego images that V4 misses, each at its own threshold for {first} false positives.",
        _write_beyond(report),
        "## Together",
        "An image counts as stego if V4 or the other says so, each at half of the allowed false positives.",
        *_write_together(report),
        "## Elsewhere than V4 looks",
        f"{examples['covers']} covers of the validation sources, at the thresholds of {first} above.",
        _write_elsewhere(report),
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _percent(share: str) -> str:
    return f"{100 * float(share):g} %"


def _write_costs(report: Report) -> str:
    rows = [
        (name, _WHAT[name], *(f"{cost[key]:.2f}" for key in ("take", "score", "ms")),
         f"{report['training_seconds'].get(name, '')}")
        for name, cost in report["cost"].items()
    ]  # fmt: skip
    return make_table(("detector", "what it is", "take", "score", "ms an image", "s to learn"), rows)


def _write_found(report: Report) -> Iterable[str]:
    clean = report["examples"]["test_clean"]
    for allowed, by_detector in report["found"].items():
        yield f"## At {_percent(allowed)} false positives"
        yield f"{int(float(allowed) * clean)} of {clean:,} clean examples."
        rows = [
            (
                f"`{method}`: {group}",
                f"{rate['of']}",
                *(_share(found["found"][method][group]) for found in by_detector.values()),
            )
            for method, groups in next(iter(by_detector.values()))["found"].items()
            for group, rate in groups.items()
            if rate["of"]
        ]
        yield make_table(("hidden", "images", *by_detector), rows)


def _write_beyond(report: Report) -> str:
    first = next(iter(report["beyond"].values()))
    rows = [
        (
            f"`{method}`: {group}",
            f"{rate['of']}",
            *(f"{each[method][group]['count']}" for each in report["beyond"].values()),
        )
        for method, groups in first.items()
        for group, rate in groups.items()
    ]
    return make_table(("hidden", "missed by V4", *(f"found by {name}" for name in report["beyond"])), rows)


def _write_together(report: Report) -> Iterable[str]:
    for allowed, rows in report["together"].items():
        yield f"At {_percent(allowed)}:"
        yield make_table(
            ("detector", "false positives", "stego images found"),
            ((name, write_rate(row["false_positives"]), write_rate(row["found"])) for name, row in rows.items()),
        )


def _write_elsewhere(report: Report) -> str:
    detectors = list(next(iter(report["elsewhere"].values())))
    rows = [(way, *(_share(found[name]) for name in detectors)) for way, found in report["elsewhere"].items()]
    return make_table(("hidden", *detectors), rows)


def _share(rate: Mapping[str, Any]) -> str:
    return f"{rate['share']:.1%}"


def _draw_found(report: Report) -> "Figure":
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


def _draw_curves(report: Report) -> "Figure":
    figure, axes = open_figure(figsize=(7, 4))
    for name, points in report["curves"].items():
        axes.plot([p["false_positives"] for p in points], [p["found"] for p in points], marker=".", label=name)
    axes.set(
        xscale="log", ylim=(0, 1.02), xlabel="false positives among clean images", ylabel="payloads in pixels found"
    )
    axes.legend(loc="lower right", fontsize=8)
    return figure
