"""The command line of `scripts/analyse_dataset`."""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from research.dataset_analysis.claims import describe_claim
from research.dataset_analysis.duplicates import find_near_duplicates
from research.dataset_analysis.learning import SHARES, draw_curve, leave_sources_out
from research.dataset_analysis.page import write_page
from research.dataset_analysis.surveying import Surveyed, describe_sources, list_suspects, survey_corpus
from research.evaluation.output import add_report_options, write_report
from research.evaluation.report import describe_model
from research.stego.corpus import find_images
from worker.v4.detector import Detector

PARTS = ("train", "val")


def main(arguments: list[str] | None = None) -> int:
    """Analyse a corpus: contents, duplicates, suspicious images, the benefit of more images, supported claims."""
    options = read_options(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    started = time.process_time()
    report = measure(options)
    if options.json:
        write_report(report, options.json, write_page)
    print(f"{sum(report['images'].values()):,} images of {len(report['sources'])} sources")
    print(f"near duplicates: {report['duplicates']['within']} within, {report['duplicates']['across']} across")
    print(f"{len(report['suspects'])} false positives among the clean images")
    print(f"{time.process_time() - started:.0f} s of processor time")
    return 0


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="analyse_dataset", description=main.__doc__)
    parser.add_argument(
        "--corpus", type=Path, required=True, help="folder with train/ and val/, each with a folder per source"
    )
    add_report_options(parser)
    parser.add_argument("--examples", type=int, default=600, help="examples for each training (%(default)s)")
    parser.add_argument(
        "--shares",
        type=float,
        nargs="+",
        default=SHARES,
        help="shares of the covers to train on (%(default)s)",
    )
    parser.add_argument("--sources", type=int, default=4, help="sources to leave out, one at a time (%(default)s)")
    parser.add_argument("--trees", type=int, default=40, help="trees of the quick detector (%(default)s)")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the whole report."""
    detector = Detector.load(options.model)
    card = detector.model
    corpora = {part: find_images(options.corpus / part) for part in PARTS}
    rows = [row for part, corpus in corpora.items() for row in survey_corpus(detector, corpus, part)]
    counted = {part: [row for row in rows if row.part == part] for part in PARTS}
    return {
        "model": describe_model(detector.model),
        "seed": options.seed,
        "examples": options.examples,
        "images": {part: len(chosen) for part, chosen in counted.items()},
        "unreadable": {part: len(corpora[part].paths) - len(chosen) for part, chosen in counted.items()},
        "sources": describe_sources(rows),
        "duplicates": find_near_duplicates(rows),
        "suspects": list_suspects(rows, card.threshold),
        "claim": describe_claim(
            {part: (_count_flagged(chosen, card.threshold), len(chosen)) for part, chosen in counted.items()},
            {part: len(corpora[part].sources) for part in PARTS},
        ),
        "curve": draw_curve(
            corpora["train"], corpora["val"], options.seed, options.examples, options.trees, options.shares
        ),
        "left_out": leave_sources_out(
            corpora["train"], options.seed, options.examples // options.sources, options.trees, options.sources
        ),
    }


def _count_flagged(rows: list[Surveyed], threshold: float) -> int:
    return sum(row.score.stego_probability >= threshold for row in rows)
