"""Writes the measurements of real tools as a Markdown page."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from research.evaluation.markdown import make_table, write_rate

Report = Mapping[str, Any]
_GROUPS: Final = {
    "text": "text in the clear",
    "files": "archives and encrypted files",
    "ciphertext": "ciphertext",
    "outside": "outside of what V4 looks for",
}


def write_page(report: Report, path: Path) -> None:
    """Write the page to `path`."""
    model, corpus = report["model"], report["corpus"]
    parts = [
        f"# What {model['name']} {model['version']} finds of real tools",
        f"Weights `sha256:{model['sha256']}`, threshold {model['threshold']}. Measured by `scripts/real_tools`: "
        f"{report['programs']} programs hid messages in {corpus['covers']} pictures ({corpus['from_corpus']} of them "
        f"from the corpus, seed {corpus['seed']}), which gave {report['images']:,} images. A configuration is one way "
        "to run a program, with one kind of cover. A third of the messages are short, a third long, a third in another "
        "script if the program can write it. V4 looks for what is written to the pixels from the first sample on, "
        "after the image's end, or into the UserComment. Intervals are Clopper and Pearson's, 95 %, as if images were "
        "independent.",
        "## Together",
        _write_totals(report["totals"]),
        '"Shown" counts texts that are shown whole, and files whose kind is named, of all images. "In the inspection" '
        "counts texts that `starlight inspect` shows whole.",
        "## Clean covers",
        make_table(("kind", "taken for stego"), ((name, write_rate(rate)) for name, rate in report["clean"].items())),
        "## What V4 looks for",
        _write_ways(report["tools"], outside=False),
        "## Outside of it",
        _write_ways(report["tools"], outside=True),
        *_write_missing(report["tools"]),
        *_write_failures(report["tools"]),
    ]  # fmt: skip
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _write_totals(totals: Report) -> str:
    rows = [
        (_GROUPS[name], str(group["configurations"]), write_rate(group["found"]), _rate(group["shown"]),
         _rate(group["inspected"]))
        for name, group in totals.items()
    ]  # fmt: skip
    return make_table(("what was hidden", "configurations", "found", "shown", "in the inspection"), rows)


def _write_ways(tools: Iterable[Report], *, outside: bool) -> str:
    rows = [
        (
            f"{tool['name']} ({tool['registry']})", row["way"], row["cover"],
            row["outside"] if outside else f"`{row['method']}`", _count(row, "found"),
            _count(row, "shown", unless="nothing"), _count(row, "inspected", only="text"), _number(row["lowest"]),
        )
        for tool in tools
        for row in tool["ways"]
        if bool(row["outside"]) is outside and row["made"]
    ]  # fmt: skip
    where = "where" if outside else "method"
    titles = ("program", "way", "cover", where, "found", "shown", "in the inspection", "lowest probability")
    return make_table(titles, rows)


def _write_missing(tools: Iterable[Report]) -> Iterable[str]:
    rows = [(f"{tool['name']} ({tool['registry']})", tool["missing"]) for tool in tools if tool["missing"]]
    if rows:
        yield "## Programs that could not be installed"
        yield make_table(("program", "reason"), rows)


def _write_failures(tools: Iterable[Report]) -> Iterable[str]:
    rows = [
        (f"{tool['name']} ({tool['registry']})", row["way"], row["cover"], str(count), reason)
        for tool in tools
        for row in tool["ways"]
        for reason, count in row["failed"].items()
    ]
    if rows:
        yield "## Images that programs did not write"
        yield make_table(("program", "way", "cover", "images", "last line printed"), rows)


def _rate(rate: Report) -> str:
    return write_rate(rate) if rate["of"] else ""


def _count(row: Report, key: str, *, unless: str = "", only: str = "") -> str:
    """Return a count of the images that were written; nothing for rows that cannot show anything of the kind."""
    is_meant = row["shows"] != unless and only in ("", row["shows"])
    return f"{row[key]} of {row['made']}" if is_meant else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
