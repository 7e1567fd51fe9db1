"""The command line of `tests/production_tests.py`."""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from producer.canaries.drawing import Canary
from research.production.accounts import check_bulk, check_metrics, check_single_verdicts
from research.production.checklist import Check, Checklist
from research.production.deployment import Deployment
from research.production.detection import check_detection
from research.production.edge_cases import check_edge_cases
from research.production.load import check_load
from research.production.security import check_answers, check_keys, check_references, check_transport

# Each run draws its seed from this range, so that no two runs send the same images.
SEEDS = 2**30
ROUNDS_APART = 10_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the production checklist against a deployment; exit with 1 if a check fails."""
    parser = argparse.ArgumentParser(prog="production_tests.py", description=main.__doc__)
    parser.add_argument("--url", required=True, help="address of the API")
    parser.add_argument("--key", default=os.environ.get("STARLIGHT_KEY"), help="API key; default: STARLIGHT_KEY")
    parser.add_argument("--exporter", help="address of the exporter, if this machine can reach it")
    parser.add_argument("--minutes", type=float, default=10.0, help="duration of the load (%(default)g)")
    parser.add_argument("--rate", type=int, default=1000, help="requests per minute (%(default)s)")
    parser.add_argument("--rounds", type=int, default=50, help="rounds of ten drawn images (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report to this file")
    options = parser.parse_args(arguments)
    if not options.key:
        parser.error("there is no API key: give --key or set STARLIGHT_KEY")
    deployment = Deployment(options.url.rstrip("/"), options.key, options.exporter)
    try:
        described = deployment.describe()
    except (httpx.HTTPError, ValueError, KeyError) as error:
        print(f"production_tests: no Starlight answers at {options.url}: {error}", file=sys.stderr)
        return 2
    seed = random.SystemRandom().randrange(SEEDS)
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    checklist = run_checklist(deployment, seed, options.minutes, options.rate, options.rounds)
    report: dict[str, Any] = {"deployment": described, "started": started, "seed": seed, "checks": checklist.report()}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(checklist.failed)


def run_checklist(deployment: Deployment, seed: int, minutes: float, rate: int, rounds: int) -> Checklist:
    """Run all checks."""
    checklist = Checklist(lambda line: print(line, flush=True))
    answered: list[Canary] = []

    def load(check: Check) -> None:
        answered.extend(check_load(check, deployment, seed + ROUNDS_APART, rate, minutes))

    checklist.make(
        "detection",
        "every method is detected and named, every message read, no clean image called stego",
        partial(check_detection, deployment=deployment, seed=seed, rounds=rounds),
    )
    checklist.make("load", f"{rate} images a minute: 99 % answered within 2 s, 99.9 % answered", load)
    checklist.make(
        "single verdicts",
        "every answered image has exactly one verdict",
        lambda check: check_single_verdicts(check, deployment, answered[:: max(1, len(answered) // 200)]),
    )
    checklist.make(
        "bulk",
        "a job of drawn images gets correct verdicts, none missing or double, and a seal",
        partial(check_bulk, deployment=deployment, seed=seed + 2 * ROUNDS_APART, rounds=rounds),
    )
    checklist.make(
        "edge cases", "odd, broken and hostile files are answered", partial(check_edge_cases, deployment=deployment)
    )
    for name, promise, work in (
        ("keys", "nothing works without a valid key", check_keys),
        ("references", "files of the server and addresses in its network are not read", check_references),
        ("answers", "pages run no foreign scripts, errors show no internals", check_answers),
        ("transport", "traffic is encrypted", check_transport),
        ("metrics", "the metrics of dashboards and alerts exist, and no image is unaccounted for", check_metrics),
    ):
        checklist.make(name, promise, partial(work, deployment=deployment))
    return checklist
