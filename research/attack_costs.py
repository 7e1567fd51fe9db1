"""Prints the costs that the attack tests measured: `python -m research.attack_costs REPORT`, pytest's JUnit report."""

import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

# Property that a test may record: column title and unit.
FIGURES = {
    "added_bytes": ("added MiB", 2**20),
    "peak_bytes": ("peak MiB", 2**20),
    "processor_s": ("processor s", 1),
    "log_lines": ("log lines", 1),
}


def read_costs(report: Path) -> Iterator[list[str]]:
    """Yield a row for each test: its name, its seconds including setup, and the figures that it recorded."""
    # Our own pytest wrote the report.
    for test in ElementTree.parse(report).iter("testcase"):  # noqa: S314
        module = test.get("classname", "").rpartition(".")[2]
        recorded = {each.get("name", ""): float(each.get("value", "")) for each in test.iter("property")}
        figures = [f"{recorded[name] / unit:.1f}" if name in recorded else "" for name, (_, unit) in FIGURES.items()]
        yield [f"{module}::{test.get('name', '')}", f"{float(test.get('time', '0')):.1f}", *figures]


def main() -> None:
    """Print the table."""
    print("\t".join(["test", "seconds", *(title for title, _ in FIGURES.values())]))
    for row in read_costs(Path(sys.argv[1])):
        print("\t".join(row))


if __name__ == "__main__":
    main()
