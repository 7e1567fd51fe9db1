"""Writes the comparison as a Markdown page with plots."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from research.alternative_architectures.plots import draw_curves, draw_elsewhere, draw_found
from research.evaluation.figures import Report, draw_figures
from research.evaluation.markdown import make_table, write_rate

_WHAT: Final = {
    "V4": "the shipped network, which has learnt from hundreds of times as many examples",
    "network": "V4's network, trained from random weights on the same examples as the others",
    "boosting": "boosted trees on V4's statistics of bytes and pairs, with sample pairs, RS, weighted stego and "
    "chi-square of the whole picture; no network",
    "convolution": "a small spatial network on high-pass residuals of the whole picture, which sees nothing but pixels",
    "surprise": "how improbable a beginning is under a table of clean bytes; no payload was shown in training",
    "ratio": "the likelihood of a beginning under tables of payloads, against the table of clean bytes",
}
_PICTURES: Final = {
    "found": "Share found at 1 % false positives, by method and kind of payload.",
    "curves": "Share of payloads in pixels found, by false positives.",
    "elsewhere": "Share found at 1 % false positives of payloads that V4 was not made for, with 95 % interval.",
}
_PLOTS: Final = {"found": draw_found, "curves": draw_curves, "elsewhere": draw_elsewhere}


def write_page(report: Report, path: Path) -> None:
    """Write the page to `path` and its plots to a folder of the same name beside it."""
    pictures = {
        name: f"![{_PICTURES[name]}]({at.parent.name}/{at.name})\n\n{_PICTURES[name]}"
        for name, at in draw_figures(report, path.with_suffix(""), _PLOTS).items()
    }
    model, examples, training = report["model"], report["examples"], report["training"]
    first = _percent(next(iter(report["found"])))
    parts = [
        "# Other approaches, compared with V4",
        f"Measured by `scripts/compare_architectures`: {examples['train']:,} training examples and "
        f"{examples['test']:,} test examples from other sources, {examples['test_clean']:,} of them clean; seed "
        f"{examples['seed']}. All detectors, V4 too, are compared at thresholds that the same share of the clean test "
        f"examples exceeds. Of pictures larger than {examples['side']} by {examples['side']} pixels, the upper left "
        f"piece of this size counts as the whole picture. V4 is {model['name']} {model['version']}, weights "
        f"`sha256:{model['sha256']}`.",
        "## The approaches and their cost",
        _write_costs(report),
        "Milliseconds of one core's processor time per image, many at once and without decoding: `input` is what it "
        f"takes to extract the detector's input, `score` the rest. {training['trees']} trees; the spatial network was "
        f"trained for {training['epochs']} epochs, V4's network on the same examples for {training['passes']}.",
        pictures["found"],
        pictures["curves"],
        *_write_found(report),
        "## What they find that V4 misses",
        f"Of the stego images that V4 misses, each detector at its own threshold for {first} false positives.",
        _write_beyond(report),
        "## Combined",
        "An image counts as stego if V4 or the other detector says so, each at half of the allowed false positives.",
        *_write_together(report),
        "## Where V4 does not look",
        f"{examples['covers']} covers of the test sources, at the thresholds for {first} above.",
        _write_elsewhere(report, "found"),
        pictures["elsewhere"],
        "How many of the images that V4 misses there, each detector finds:",
        _write_elsewhere_counts(report),
        f"V4 or the other detector, each at its threshold for half of {first}:",
        _write_elsewhere(report, "together"),
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _percent(share: str) -> str:
    return f"{100 * float(share):g} %"


def _write_costs(report: Report) -> str:
    rows = [
        (name, _WHAT[name], *(f"{cost[key]:.2f}" for key in ("take", "score", "ms")),
         f"{report['training']['seconds'].get(name, '')}")
        for name, cost in report["cost"].items()
    ]  # fmt: skip
    return make_table(("detector", "what it is", "input", "score", "ms per image", "training, s"), rows)


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


def _write_elsewhere(report: Report, key: str) -> str:
    rows = {way: each[key] for way, each in report["elsewhere"].items()}
    detectors = list(next(iter(rows.values())))
    titles = [f"V4 or {name}" if key == "together" else name for name in detectors]
    if key == "together":
        rows = {way: {"V4 alone": report["elsewhere"][way]["found"]["V4"], **row} for way, row in rows.items()}
        detectors, titles = ["V4 alone", *detectors], ["V4 alone", *titles]
    return make_table(
        ("hidden", *titles), ((way, *(_share(row[name]) for name in detectors)) for way, row in rows.items())
    )


def _write_elsewhere_counts(report: Report) -> str:
    rows = {way: each["beyond"] for way, each in report["elsewhere"].items() if way != "nothing hidden"}
    detectors = list(next(iter(rows.values())))
    return make_table(
        ("hidden", "missed by V4", *detectors),
        (
            (way, f"{row[detectors[0]]['of']}", *(f"{row[name]['count']}" for name in detectors))
            for way, row in rows.items()
        ),
    )


def _share(rate: Mapping[str, Any]) -> str:
    return f"{rate['share']:.1%}"
