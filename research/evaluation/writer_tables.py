"""Tables of the validation page by writer, with another model's figures for comparison if there are any."""

from collections.abc import Iterable, Mapping
from typing import Any

from research.evaluation.markdown import make_table, write_rate

_CLEAN = {
    "untouched": "as published",
    "twins": "twins",
    "harmless": "harmless bytes after the end",
    "cut": "cut off",
    "drawn": "drawn",
    "all": "all",
}


def write_writers(report: Mapping[str, Any]) -> Iterable[str]:
    """Yield parts of the page: writers in pixels, lengths, appended files, what training lacks, harmless kinds."""
    writers, beside = report["writers"], report.get("beside")
    name = f"{beside['model']['version']} found" if beside else None
    before = beside["writers"] if beside else None
    yield "## Formats of other programs"
    yield (
        "Text of at least 16 bytes, from the first sample on, in formats of programs that do not follow the "
        "specification. `shown whole` is how often the message shown is exactly the text."
    )
    for method, rows in writers["pixels"].items():
        yield _writers(f"`{method}`: writer", rows, name, before and before["pixels"][method])
    yield "Lengths of 2, 4 and 8 bytes before text in `lsb.rgb`, by kind:"
    yield _writers("length", writers["lengths"], name, before and before["lengths"])
    yield "## Appended data"
    yield _writers("after the end", writers["tails"], name, before and before["tails"])
    yield "## Formats that were not in training"
    yield _writers("writer", writers["unseen"], name, before and before["unseen"])
    yield (
        "Canaries: drawn pictures and English sentences that were not in training either, with payloads as in "
        "the specification."
    )
    yield _writers("method", writers["canaries"], name, before and before["canaries"])
    yield "## Harmless bytes after the end"
    rows = []
    for kind, rate in writers["harmless"].items():
        row = [kind, f"{rate['count']} of {rate['of']:,}", write_rate(rate)]
        if before:
            row.append(f"{before['harmless'][kind]['count']}")
        rows.append(row)
    titles = ["bytes after the end", "false positives", "share"]
    yield make_table([*titles, f"of {beside['model']['version']}"] if beside else titles, rows)


def write_misses(report: Mapping[str, Any]) -> str:
    """Return the table of the texts and files with the lowest probability."""
    titles = ("source", "image", "method", "writer", "bytes", "noise", "probability")
    return make_table(titles, ([str(value) for value in each.values()] for each in report["worst_misses"]))


def write_beside(report: Mapping[str, Any]) -> Iterable[str]:
    """Yield the comparison with the other model, if there is one."""
    if "beside" not in report:
        return
    both = (report, report["beside"])
    versions = [each["model"]["version"] for each in both]
    yield f"## Compared with {versions[1]}"
    yield (
        f"Both models scored the same images in the same run, each at its own threshold: {versions[0]} at "
        f"{both[0]['model']['threshold']}, {versions[1]} at {both[1]['model']['threshold']}."
    )
    rows = [
        [f"false positives, {name}", *(write_rate(each["false_positives"][key]) for each in both)]
        for key, name in _CLEAN.items()
    ]
    for method in report["detection"]["by_method"]:
        for key, what in (("text", "text"), ("binary", "ciphertext")):
            rows.append(
                [
                    f"`{method}`: {what} found",
                    *(write_rate(each["detection"]["by_method"][method][key]) for each in both),
                ]
            )
    yield make_table(["", *versions], rows)


def _writers(title: str, rows: Mapping[str, Any], other: str | None, before: Mapping[str, Any] | None) -> str:
    lines = []
    for writer, row in rows.items():
        shown = f"{row['shown_whole']['share']:.1%}" if "shown_whole" in row else ""
        line = [writer, f"{row['found']['of']:,}", write_rate(row["found"])]
        line += [f"{row[key]['share']:.1%}" for key in ("right_method", "right_bit_order")]
        lines.append([*line, shown, *([f"{before[writer]['found']['share']:.1%}"] if before else [])])
    titles = [title, "images", "found", "right method", "right bit order", "shown whole"]
    return make_table([*titles, other] if other else titles, lines)
