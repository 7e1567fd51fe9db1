"""The command line of `scripts/measure_evasion`."""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from research.evaluation.output import add_report_options, write_report
from research.evaluation.report import describe_model
from research.evasion.attribution import explain_examples
from research.evasion.boundary import map_boundary
from research.evasion.measuring import ALLOWED, draw_covers, explain, measure_damages, measure_ways
from research.evasion.page import write_page
from research.stego.corpus import find_images
from worker.v4.detector import Detector


def main(arguments: list[str] | None = None) -> int:
    """Measure how V4 detects many ways to hide, and which evidence its answers are based on."""
    options = read_options(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    started = time.process_time()
    report = measure(options)
    if options.json:
        write_report(report, options.json, write_page)
    for name, group in report["groups"].items():
        print(f"{name}: false positives {group['false_positives']['share']:.2%}")
        for way, row in group["ways"].items():
            print(f"  {way}: {row['found']['share']:.1%}, {row['found_at_allowed']['share']:.1%} at {ALLOWED:.0%}")
    print(f"{time.process_time() - started:.0f} s of processor time")
    return 0


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="measure_evasion", description=main.__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="folder of clean images, with a folder per source")
    add_report_options(parser)
    parser.add_argument("--covers", type=int, default=150, help="covers for each way to hide (%(default)s)")
    parser.add_argument("--pieces", type=int, default=300, help="covers of each side for the map (%(default)s)")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the whole report: model, covers, groups of ways, damages, explanations, the map of the boundary."""
    detector, seed = Detector.load(options.model), options.seed
    corpus = find_images(options.corpus)
    covers = draw_covers(corpus, seed, options.covers)
    return {
        "model": describe_model(detector.model),
        "corpus": {"covers": len(covers), "seed": seed},
        "allowed": ALLOWED,
        "groups": measure_ways(detector, covers, seed),
        "damages": measure_damages(detector, covers, seed),
        "explained": explain(detector, covers, seed),
        "examples": explain_examples(detector),
        "boundary": map_boundary(detector, corpus, seed, options.pieces),
    }
