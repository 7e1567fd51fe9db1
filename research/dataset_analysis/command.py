"""The command line of `scripts/analyse_dataset`."""

import argparse
import logging
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from research.dataset_analysis.claims import describe_claim
from research.dataset_analysis.duplicates import find_near_duplicates
from research.dataset_analysis.extrapolation import RESAMPLES
from research.dataset_analysis.labels import count_readable, find_outliers
from research.dataset_analysis.learning import SHARES, SOURCES, draw_curves
from research.dataset_analysis.page import write_page
from research.dataset_analysis.pools import Pool, make_pool
from research.dataset_analysis.shift import FEWEST, leave_sources_out
from research.dataset_analysis.surveying import (
    Surveyed,
    describe_sources,
    list_readable_images,
    list_suspects,
    survey_corpus,
)
from research.evaluation.output import add_report_options, write_report
from research.evaluation.report import describe_model
from research.stego.corpus import find_images
from worker.v4.detector import Detector

PARTS = ("train", "val")
SHIFT_REPEATS = 2

log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Analyse a corpus: contents, duplicates, suspicious images, the benefit of more images, supported claims."""
    options = read_options(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
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
    parser.add_argument(
        "--repeats", type=int, default=5, help="trainings of the quick detector at each size (%(default)s)"
    )
    parser.add_argument("--trees", type=int, default=40, help="trees of the quick detector (%(default)s)")
    parser.add_argument(
        "--shares", type=float, nargs="+", default=SHARES, help="shares of the covers to train on (%(default)s)"
    )
    parser.add_argument(
        "--sources", type=int, nargs="+", default=SOURCES, help="numbers of sources to train on (%(default)s)"
    )
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="resamples for intervals (%(default)s)")
    parser.add_argument("--fewest", type=int, default=FEWEST, help="images of a source that is left out (%(default)s)")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the whole report."""
    detector = Detector.load(options.model)
    card = detector.model
    corpora = {part: find_images(options.corpus / part) for part in PARTS}
    rows = [row for part, corpus in corpora.items() for row in survey_corpus(detector, corpus, part)]
    counted = {part: [row for row in rows if row.part == part] for part in PARTS}
    pools = [make_pool(corpora["train"], options.seed + number) for number in range(options.repeats)]
    log.info("%d pools of %d examples", len(pools), len(pools[0].kind))
    shown = make_pool(corpora["val"], options.seed + 1000)
    return {
        "model": describe_model(detector.model),
        "seed": options.seed,
        "images": {part: len(chosen) for part, chosen in counted.items()},
        "unreadable": {part: len(corpora[part].paths) - len(chosen) for part, chosen in counted.items()},
        "sources": describe_sources(rows),
        "duplicates": find_near_duplicates(rows),
        "suspects": list_suspects(rows, card.threshold),
        "labels": {
            "readable": count_readable(
                (row.part, row.score.stego_probability >= card.threshold, row.readable) for row in rows
            ),
            "listed": list_readable_images(rows),
            "outliers": {
                part: _describe_outliers(rows, pool, options.seed, options.trees)
                for part, pool in (("train", pools[0]), ("val", shown))
            },
        },
        "claim": describe_claim(
            {part: (_count_flagged(chosen, card.threshold), len(chosen)) for part, chosen in counted.items()},
            {part: len(corpora[part].sources) for part in PARTS},
        ),
        "learning": draw_curves(
            pools, shown, options.seed, options.trees, options.shares, options.sources, resamples=options.resamples
        ),
        "shift": leave_sources_out(pools[:SHIFT_REPEATS], options.seed, options.trees, options.fewest),
    }


def _describe_outliers(rows: list[Surveyed], pool: Pool, seed: int, trees: int) -> list[dict[str, Any]]:
    row_of = {row.path: row for row in rows}
    return [
        {
            "source": row_of[path].source,
            "image": path.name,
            "probability": probability,
            "v4": round(row_of[path].score.stego_probability, 5),
            "readable": list(row_of[path].readable),
        }
        for path, probability in find_outliers(pool, seed, trees)
    ]


def _count_flagged(rows: list[Surveyed], threshold: float) -> int:
    return sum(row.score.stego_probability >= threshold for row in rows)
