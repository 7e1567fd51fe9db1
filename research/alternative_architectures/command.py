"""The command line of `scripts/compare_architectures`."""

import argparse
import logging
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from research.alternative_architectures import boosting, convolution, likelihood, same_examples
from research.alternative_architectures.comparing import (
    ALLOWED,
    NETWORK,
    V4,
    combine,
    compare,
    draw_curves,
    find_beyond,
    find_thresholds,
    look_elsewhere,
    measure_costs,
    score_as_v4,
)
from research.alternative_architectures.examples import SIDE, Score, draw_examples
from research.alternative_architectures.page import write_page
from research.evaluation.output import add_report_options, write_report
from research.evaluation.report import describe_model
from research.evasion.measuring import draw_covers
from research.stego.corpus import find_images
from research.stego.sample_source import SampleSource
from worker.v4.detector import Detector

log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Train other approaches and compare them with V4, on the same images at the same false-positive rates."""
    options = read_options(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    started = time.process_time()
    report = measure(options)
    if options.json:
        write_report(report, options.json, write_page)
    for name, row in report["together"][str(ALLOWED[0])].items():
        print(f"{name}: {row['found']['share']:.2%} of stego images at {row['false_positives']['share']:.2%}")
    print(f"{time.process_time() - started:.0f} s of processor time")
    return 0


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="compare_architectures", description=main.__doc__)
    parser.add_argument(
        "--corpus", type=Path, required=True, help="folder of clean training images, with a folder per source"
    )
    parser.add_argument("--validation", type=Path, required=True, help="folder of clean test images of other sources")
    add_report_options(parser)
    parser.add_argument("--train", type=int, default=3000, help="number of training examples (%(default)s)")
    parser.add_argument("--test", type=int, default=4000, help="number of test examples (%(default)s)")
    parser.add_argument("--covers", type=int, default=200, help="covers for payloads in other places (%(default)s)")
    parser.add_argument("--trees", type=int, default=100, help="trees of boosting (%(default)s)")
    parser.add_argument("--epochs", type=int, default=6, help="epochs of the convolutional network (%(default)s)")
    parser.add_argument("--passes", type=int, default=30, help="epochs of V4's network on the examples (%(default)s)")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the whole report."""
    detector = Detector.load(options.model)
    learnt = draw_examples(SampleSource(find_images(options.corpus)), options.seed, options.train)
    log.info("%d training examples", len(learnt))
    detectors: dict[str, Score] = {V4: score_as_v4(detector)}
    approaches: dict[str, Callable[[], Score]] = {
        NETWORK: lambda: same_examples.train(learnt, options.seed, options.passes),
        "boosting": lambda: boosting.train(learnt, options.seed, options.trees),
        "convolution": lambda: convolution.train(learnt, options.seed, options.epochs),
        "surprise": lambda: likelihood.train_surprise(learnt),
        "ratio": lambda: likelihood.train_ratio(learnt),
    }
    trained = {}
    for name, train in approaches.items():
        started = time.process_time()
        detectors[name] = train()
        trained[name] = round(time.process_time() - started, 1)
        log.info("trained %s in %.1f s", name, trained[name])
    corpus = find_images(options.validation)
    shown = draw_examples(SampleSource(corpus), options.seed + 1, options.test)
    scores = {name: score(shown) for name, score in detectors.items()}
    covers = draw_covers(corpus, options.seed, options.covers)
    limits, halves = (find_thresholds(scores, shown.is_clean, ALLOWED[0] / parts) for parts in (1, 2))
    log.info("%d test examples and %d covers", len(shown), len(covers))
    return {
        "model": describe_model(detector.model),
        "examples": {
            "train": len(learnt), "train_clean": int(learnt.is_clean.sum()), "test": len(shown),
            "test_clean": int(shown.is_clean.sum()), "covers": len(covers), "seed": options.seed, "side": SIDE,
        },
        "training": {"seconds": trained, "trees": options.trees, "epochs": options.epochs, "passes": options.passes},
        "cost": measure_costs(detectors, shown, covers[:64]),
        "found": {str(allowed): compare(scores, shown, allowed) for allowed in ALLOWED},
        "curves": draw_curves(scores, shown),
        "beyond": find_beyond(scores, shown, ALLOWED[0]),
        "together": {str(allowed): combine(scores, shown, allowed) for allowed in ALLOWED},
        "elsewhere": look_elsewhere(detectors, covers, limits, halves, options.seed),
    }  # fmt: skip
