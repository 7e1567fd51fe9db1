"""What the tests of attacks measured, as a table: `python -m research.attack_costs REPORT`, pytest's JUnit report."""

import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

# What a test may record, how it is printed, and by what it is divided.
FIGURES = {
    "added_bytes": ("added MiB", 2**20),
    "peak_bytes": ("peak MiB", 2**20),
    "processor_s": ("processor s", 1),
    "log_lines": ("log lines", 1),
}


def read_costs(report: Path) -> Iterator[list[str]]:
    """Yield a row of each test: its name, seconds with what was started for it, and what it recorded."""
    # It was written by our own pytest.
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
