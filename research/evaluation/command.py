"""The command line of `scripts/validate_v4`."""

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any, Final

import torch

from research.evaluation.ablation import ablate
from research.evaluation.baselines import compare
from research.evaluation.carriers import measure_carriers
from research.evaluation.cost import measure_cost
from research.evaluation.output import write_report
from research.evaluation.page import write_page
from research.evaluation.report import build_report, choose_threshold
from research.evaluation.trials import decide, make_cases, run_together
from research.stego.corpus import find_images
from research.training.model_files import update_card
from worker.v4.card import DEFAULT_MODEL
from worker.v4.detector import Detector

BESIDE: Final = ("model", "false_positives", "detection", "writers")
"""Parts of the report on the other model that are kept for the comparison."""


def main(arguments: list[str] | None = None) -> int:
    """Measure a model on clean images and on stego images made from them."""
    options = read_options(arguments)
    torch.set_num_threads(options.threads)
    started = time.monotonic()
    report, count = measure(options)
    if options.choose_threshold:
        update_card(options.model, report["model"]["threshold"], figures(report))
    if options.json:
        write_report(report, options.json, write_page)
    print_summary(report)
    print(f"{count} images in {time.monotonic() - started:.0f} s")
    return 0


def read_options(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="validate_v4", description=main.__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="folder of clean images, with a folder per source")
    parser.add_argument("--json", type=Path, help="write the report to this file, and a page with plots beside it")
    parser.add_argument("--limit", type=int, help="use this many images of the corpus, chosen by the seed")
    parser.add_argument("--drawn", type=int, default=3000, help="number of hard negatives to draw (%(default)s)")
    parser.add_argument("--seed", type=int, default=20_260_101)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--choose-threshold", action="store_true", help="choose a threshold from the results and write it to the card"
    )
    parser.add_argument("--beside", type=Path, metavar="MODEL", help="compare with another model on the same images")
    parser.add_argument("--ablate", type=int, metavar="N", help="measure the network without each stream on N images")
    parser.add_argument(
        "--baselines", type=int, metavar="N", help="compare with published estimators on N covers per carrier"
    )
    parser.add_argument(
        "--carriers", type=int, metavar="N", help="measure carriers outside the five methods, on N covers"
    )
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Return the whole report, and the number of images that were scored."""
    detector = Detector.load(options.model, options.device)
    corpus = find_images(options.corpus)
    detectors = [detector] + ([Detector.load(options.beside, options.device)] if options.beside else [])
    shown = list(run_together(detectors, corpus, options.seed, options.limit, options.drawn))
    trials = [of_case[0] for of_case in shown]
    if options.choose_threshold:
        detector.model = dataclasses.replace(detector.model, threshold=choose_threshold(trials))
    trials = [decide(trial, detector.model.threshold) for trial in trials]
    images = sum(trial.group == "untouched" for trial in trials)
    report = build_report(detector.model, trials, images, options.seed)
    if options.beside:
        other = detectors[1].model
        decided = [decide(of_case[1], other.threshold) for of_case in shown]
        whole = build_report(other, decided, images, options.seed)
        report["beside"] = {key: whole[key] for key in BESIDE}
    report["cost"] = measure_cost(detector)
    if options.ablate:
        cases = list(make_cases(corpus, options.seed, options.ablate, options.ablate))
        report["ablation"] = {"images": options.ablate, "without": ablate(detector, cases)}
    if options.baselines:
        report["baselines"] = compare(detector, corpus, options.seed, options.baselines)
    if options.carriers:
        report["carriers"] = measure_carriers(detector, corpus, options.seed, options.carriers)
    return report, len(trials)


def figures(report: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a report that go into the model card."""
    methods = report["detection"]["by_method"]
    return {
        "measured_on": report["corpus"],
        "false_positives": {
            name: report["false_positives"][name] for name in ("untouched", "twins", "drawn", "harmless", "cut", "all")
        },
        "detection_of_text": {method: methods[method]["text"] for method in methods},
        "detection_of_short_text": {method: _total(methods[method]["short_by_size"]) for method in methods},
        "detection_of_ciphertext": {method: methods[method]["binary"] for method in methods},
        "detection_by_writer": {
            method: {writer: row["found"] for writer, row in rows.items()}
            for method, rows in report["writers"]["pixels"].items()
        },
        "detection_by_file": {kind: row["found"] for kind, row in report["writers"]["tails"].items()},
        "expected_calibration_error": report["calibration"]["expected_error"],
    }


def print_summary(report: dict[str, Any]) -> None:
    """Print the most important figures."""
    model = report["model"]
    print(f"{model['name']} {model['version']} sha256 {model['sha256'][:16]} threshold {model['threshold']}")
    for name in ("untouched", "twins", "drawn", "harmless", "cut", "all"):
        print(f"false positives, {name}: {_text(report['false_positives'][name])}")
    print(f"detection of text: {_text(report['detection']['text'])}")
    for method, measured in report["detection"]["by_method"].items():
        print(f"  {method}: {_text(measured['text'])}; right method {measured['right_method']['share']:.2%}, ", end="")
        print(f"bit order {measured['right_bit_order']['share']:.2%}, ", end="")
        print(f"read whole {measured['extracted_whole']['share']:.2%}; ", end="")
        short = _total(measured["short_by_size"])
        print(f"4 to 15 bytes {short['share']:.1%}, ciphertext {measured['binary']['share']:.1%}")
    print(f"expected calibration error: {report['calibration']['expected_error']}")
    for mode, cost in report["cost"]["by_mode"].items():
        print(f"cost of {mode} 256x256: {cost['v4']} ms, {cost['ratio_to_decode']} of decoding it")


def _total(by_size: dict[str, dict[str, Any]]) -> dict[str, Any]:
    count, of = (sum(entry[key] for entry in by_size.values()) for key in ("count", "of"))
    return {"count": count, "of": of, "share": round(count / of, 6) if of else 0.0}


def _text(rate: dict[str, Any]) -> str:
    low, high = rate["interval95"]
    return f"{rate['count']} of {rate['of']} = {rate['share']:.3%} ({low:.3%} to {high:.3%})"
