"""Writes the validation report as a Markdown page with plots."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from research.evaluation.figures import Report, draw_figures
from research.evaluation.markdown import make_table, write_rate
from research.evaluation.writer_tables import write_beside, write_misses, write_writers

_PICTURES: Final = {
    "roc": "Share of text payloads found against false positives, by method; the dotted line is the threshold.",
    "detection": "Share of payloads found, by size.",
    "reliability": "Share of stego images, by stated probability.",
    "false_positives": "Kinds of clean images with the highest false-positive rates.",
    "hidden": "Share found in %, by bytes of payload and noise of the cover; below it, the number of images.",
}


def write_page(report: Report, path: Path) -> None:
    """Write the page to `path` and its plots to a folder of the same name beside it."""
    pictures = draw_figures(report, path.with_suffix(""))
    model, corpus = report["model"], report["corpus"]
    parts = [
        f"# Validation of {model['name']} {model['version']}",
        f"Weights `sha256:{model['sha256']}`, threshold {model['threshold']}. Measured by `scripts/validate_v4` on "
        f"{corpus['images']:,} clean images of {corpus['sources']} sources (drawn pictures count as one), stego images "
        f"made from them, and their twins; seed {corpus['seed']}. Intervals are Clopper and Pearson's, 95 %.",
        "## False positives",
        _false_positives(report),
        "## Detection",
        _detection(report),
        *(
            f"![{_PICTURES[name]}]({picture.parent.name}/{picture.name})\n\n{_PICTURES[name]}"
            for name, picture in pictures.items()
        ),
        *write_beside(report),
        *write_writers(report),
        "## Hard negatives",
        _rates("clean images with this trait", report["false_positives"]["by_trait"]),
        _rates("drawn pictures", report["false_positives"]["drawn_by_kind"]),
        "## Untouched images by source",
        _rates("source", report["false_positives"]["untouched_by_source"]),
        "## The worst false positives",
        make_table(
            ("source", "image", "kind", "method", "probability"),
            ([str(value) for value in each.values()] for each in report["worst_false_positives"]),
        ),
        "## The worst misses",
        write_misses(report),
        *_baselines(report),
        *_ablation(report),
        *_carriers(report),
        "## Cost",
        _cost(report),
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _false_positives(report: Report) -> str:
    named = {
        "as published": "untouched",
        "twins of stego images, through the same encoder": "twins",
        "drawn hard negatives": "drawn",
        "harmless bytes after the end": "harmless",
        "files that are cut off": "cut",
        "all": "all",
    }
    return _rates("clean images", {label: report["false_positives"][key] for label, key in named.items()})


def _detection(report: Report) -> str:
    rows = []
    for method, measured in report["detection"]["by_method"].items():
        short = list(measured["short_by_size"].values())
        rows.append(
            (
                f"`{method}`",
                write_rate(measured["text"]),
                *(f"{measured[key]['share']:.2%}" for key in ("right_method", "right_bit_order", "extracted_whole")),
                _share(short),
                write_rate(measured["binary"]),
            )
        )
    titles = (
        "method", "text of 16 B to 4 KB found", "right method", "right bit order", "read whole", "4 to 15 bytes",
        "ciphertext",
    )  # fmt: skip
    return make_table(titles, rows)


def _baselines(report: Report) -> Iterable[str]:
    if "baselines" not in report:
        return
    measured = report["baselines"]
    yield "## Compared with published estimators"
    yield (
        f"Ciphertext in {measured['covers']:,} covers, found by each detector at its threshold for "
        f"{measured['false_positives']:.2%} false positives on the twins."
    )
    detectors = list(next(iter(measured["found"].values())))
    rows = [(name, *(f"{found[detector]:.1%}" for detector in detectors)) for name, found in measured["found"].items()]
    yield make_table(("carrier and bytes", *detectors), rows)


def _ablation(report: Report) -> Iterable[str]:
    if "ablation" not in report:
        return
    measured = report["ablation"]
    methods = list(measured["without"]["none"]["detection"])
    yield "## Ablation"
    yield (
        f"Text found by the same network without one of its streams, on {measured['images']} images. In training, "
        "`pixel`, `palette`, `format` and `content` were sometimes left out, so that the network does not depend on "
        "them; a carrier's own stream cannot be replaced."
    )
    rows = [
        (
            f"`{stream}`",
            *(f"{100 * figures['detection'][method]:.1f} %" for method in methods),
            f"{100 * figures['false_positives']:.2f} %",
        )
        for stream, figures in measured["without"].items()
    ]
    yield make_table(("without", *(f"`{method}`" for method in methods), "false positives"), rows)


def _carriers(report: Report) -> Iterable[str]:
    if "carriers" not in report:
        return
    yield "## Carriers outside the five methods"
    yield (
        "The same network scores the image once more, with the carrier's bits in the place of those of `lsb.rgb`, or "
        "other texts of the file in the place of the UserComment. The payloads are texts of 32 to 400 bytes, without "
        "an end or after a length."
    )
    rows = [
        (
            name,
            "" if row["found"] is None else f"{row['found']:.1%}",
            f"{row['false_positives']:.2%} of {row['of']:,}",
            "" if row["ms"] is None else f"{row['ms']} ms",
        )
        for name, row in report["carriers"].items()
    ]
    yield make_table(("carrier", "found", "false positives", "time for one pass"), rows)


def _cost(report: Report) -> str:
    rows = [
        (mode, f"{cost['v4']} ms", f"{cost['ratio_to_decode']}") for mode, cost in report["cost"]["by_mode"].items()
    ]
    return make_table(("256x256 image", "V4 on one core", "relative to decoding it"), rows)


def _rates(title: str, rates: Mapping[str, Any]) -> str:
    rows = ((name, f"{rate['count']} of {rate['of']:,}", write_rate(rate)) for name, rate in rates.items())
    return make_table((title, "false positives", "share"), rows)


def _share(rates: Sequence[Mapping[str, Any]]) -> str:
    count, of = (sum(rate[key] for rate in rates) for key in ("count", "of"))
    return f"{count / of:.1%}" if of else ""
