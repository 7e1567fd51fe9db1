"""The command line of `scripts/real_tools`."""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from research.evaluation.output import add_report_options, write_report
from research.evaluation.report import describe_model
from research.real_tools.catalogue import CATALOGUE, read_catalogue
from research.real_tools.covers import draw_pictures
from research.real_tools.installing import Installer, NotInstalledError, describe_packages
from research.real_tools.keeping import Keeper
from research.real_tools.measuring import add_up, measure_covers, measure_tool
from research.real_tools.page import write_page
from research.stego.corpus import find_images
from worker.v4.detector import Detector


def main(arguments: list[str] | None = None) -> int:
    """Install programs that hide messages in images, run them on covers, and measure what V4 finds and shows."""
    options = read_options(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    started = time.monotonic()
    report = measure(options)
    if options.json:
        write_report(report, options.json, write_page)
    for name, group in report["totals"].items():
        print(f"{name}: {group['configurations']} configurations, found {group['found']['share']:.1%}, ", end="")
        print(f"shown {group['shown']['share']:.1%}")
    print(f"{time.monotonic() - started:.0f} s")
    return 0


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="real_tools", description=main.__doc__)
    parser.add_argument(
        "--folder", type=Path, required=True, help="where tools are installed, and kept for the next run"
    )
    parser.add_argument(
        "--corpus", type=Path, help="folder of clean images for every other cover; without it all are drawn"
    )
    parser.add_argument("--covers", type=int, default=12, help="covers for each configuration (%(default)s)")
    parser.add_argument("--tools", nargs="+", metavar="NAME", help="only these tools")
    parser.add_argument("--catalogue", type=Path, default=CATALOGUE, help="another list of tools (TOML)")
    parser.add_argument("--images", type=Path, help="folder where the images that tools write are kept, and used again")
    add_report_options(parser)
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the whole report: model, covers, tools with their configurations, totals."""
    catalogue = read_catalogue(options.catalogue)
    detector = Detector.load(options.model)
    corpus = find_images(options.corpus) if options.corpus else None
    pictures = draw_pictures(np.random.default_rng([options.seed, 0]), corpus, options.covers)
    installer = Installer(options.folder, catalogue)
    tools = []
    for number, tool in enumerate(catalogue.tools):
        if options.tools and tool.name not in options.tools:
            continue
        entry: dict[str, Any] = {"name": tool.name, "registry": tool.registry, "packages": list(tool.packages)}
        entry |= {"missing": "", "ways": []}
        tools.append(entry)
        try:
            environment = installer.install(tool)
        except NotInstalledError as error:
            entry["missing"] = str(error)
            print(f"{tool.name}: not installed: {error}", flush=True)
            continue
        entry["packages"] = describe_packages(tool, options.folder)
        rng = np.random.default_rng([options.seed, 1, number])
        keeper = Keeper(tool, environment, options.images)
        entry["ways"] = measure_tool(detector, tool, pictures, keeper.hide, rng)
        for row in entry["ways"]:
            print(_summarise(tool.name, row), flush=True)
    rows = [row for entry in tools for row in entry["ways"]]
    return {
        "model": describe_model(detector.model),
        "programs": sum(bool(entry["ways"]) for entry in tools),
        "images": sum(row["made"] for row in rows),
        "corpus": {"covers": len(pictures), "from_corpus": len(pictures) // 2 if corpus else 0, "seed": options.seed},
        "clean": measure_covers(detector, pictures),
        "totals": add_up(rows),
        "tools": tools,
    }


def _summarise(tool: str, row: dict[str, Any]) -> str:
    counts = "/".join(str(row[key]) for key in ("made", "found", "right", "shown", "inspected"))
    where = row["method"] or f"outside: {row['outside']}"
    return f"{tool}, {row['way']}, {row['cover']} ({where}): {counts} {row['failed'] or ''}".rstrip()
