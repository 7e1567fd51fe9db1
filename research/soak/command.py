"""The command line of `scripts/soak`."""

import argparse
import base64
import json
import logging
import platform
import secrets
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from research.production.load import Answered, summarise
from research.soak.load import (
    Progress,
    keep_killing,
    keep_sending,
    keep_submitting,
    receive_webhooks,
    start_load,
    wait_for_ends,
    watch_loads,
)
from research.soak.sampling import Sample, measure_disk, measure_growth, sample_processes
from research.soak.stack import UpStack, run_up
from storage.audits import audit_jobs
from storage.logs import set_up_logging
from storage.version import VERSION

DEVICES = ["cpu0", "cpu1"]
PATIENCE_S = 300.0
# Minimum shares for images sent one by one: correct ones among the answered, and answered ones among the sent. The
# latter is lower because the API is killed now and then.
RIGHT = 0.999
ANSWERED = 0.99

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a whole stack under mixed load for hours and audit it; exit with 1 if anything was lost or wrong."""
    parser = argparse.ArgumentParser(prog="soak", description=main.__doc__)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--rate", type=int, default=300, help="images sent one by one per minute (%(default)s)")
    parser.add_argument("--job", type=int, default=50, help="size of a job, in rounds of ten images (%(default)s)")
    parser.add_argument("--job-minutes", type=float, default=2.0, help="time between two jobs (%(default)g)")
    parser.add_argument(
        "--fault-minutes", type=float, default=7.0, help="time between two faults (%(default)g); 0: no faults"
    )
    parser.add_argument("--sample-seconds", type=float, default=30.0, help="time between two samples (%(default)g)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report to this file")
    options = parser.parse_args(arguments)
    set_up_logging("soak", style="text")
    settings = {
        "STARLIGHT_FETCH_ALLOWED_NETWORKS": '["127.0.0.0/8"]',
        "STARLIGHT_WEBHOOK_SECRET": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "STARLIGHT_REUSE": "false",
    }
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        # PostgreSQL started by root runs under another account, which must reach the folder.
        folder.chmod(0o711)
        with run_up(folder, DEVICES, settings) as stack:
            report = soak(stack, options)
    text = json.dumps(report, indent=1)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)
    return 0 if is_sound(report) else 1


def is_sound(report: dict[str, Any]) -> bool:
    """Return whether nothing was lost or doubled, and nearly all images were answered correctly."""
    accounts, whole = report["accounts"], report["one_by_one"]["whole"]
    return bool(
        accounts["unfinished"] == accounts["missing"] == accounts["double"] == accounts["wrong_counters"] == 0
        and accounts["webhooks"] >= accounts["jobs_with_webhook"]
        and whole["right"] >= RIGHT
        and whole["answered"] >= ANSWERED
    )


def soak(stack: UpStack, options: argparse.Namespace) -> dict[str, Any]:
    """Load the stack for `options.hours`, sample its processes meanwhile, and return the report.

    Raises what a load raises, as soon as it fails.
    """
    progress, over = Progress(), threading.Event()
    samples: list[Sample] = []
    disk: list[dict[str, Any]] = []
    started = time.monotonic()
    with receive_webhooks(progress) as hook:
        loads = [
            start_load(keep_sending, stack, progress, options.seed, options.rate, 60 * options.hours),
            start_load(
                keep_submitting,
                stack,
                progress,
                over,
                options.seed + 2**29,
                options.job,
                60 * options.job_minutes,
                hook,
            ),
        ]
        if options.fault_minutes:
            loads.append(start_load(keep_killing, stack, progress, over, options.seed, 60 * options.fault_minutes))
        try:
            while (elapsed := time.monotonic() - started) < 3600 * options.hours:
                samples += sample_processes(stack.list_roots(), elapsed)
                disk.append({"hours": round(elapsed / 3600, 3), **measure_disk(stack.folder)})
                watch_loads(loads, min(options.sample_seconds, max(0.0, 3600 * options.hours - elapsed)))
        finally:
            over.set()
        for load in loads:
            load.result()
        unfinished = wait_for_ends(stack.engine, PATIENCE_S)
        waited = time.monotonic()
        while progress.webhooks < len(progress.jobs) and time.monotonic() - waited < PATIENCE_S:
            time.sleep(1.0)
    audits = list(audit_jobs(stack.engine))
    return {
        "version": VERSION,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "hours": options.hours,
        "load": {"one_by_one_a_minute": options.rate, "images_of_a_job": 10 * options.job,
                 "minutes_between_jobs": options.job_minutes},
        "faults": dict(progress.killed),
        "one_by_one": describe_hours(progress, started),
        "accounts": {
            "jobs": len(audits), "jobs_with_webhook": len(progress.jobs), "webhooks": progress.webhooks,
            "images": sum(audit.references for audit in audits), "verdicts": sum(audit.verdicts for audit in audits),
            "unfinished": unfinished, "missing": sum(audit.missing for audit in audits),
            "double": sum(audit.double for audit in audits),
            "wrong_counters": sum(not audit.counters_agree for audit in audits),
        },
        "processes": measure_growth(samples),
        "disk_bytes": {"first": disk[0], "last": disk[-1]},
    }  # fmt: skip


def describe_hours(progress: Progress, started: float) -> dict[str, Any]:
    """Return latencies and errors of the images sent one by one, for each hour and for the whole run."""
    hours: dict[str, list[Answered]] = {"whole": progress.answers}
    for each in progress.answers:
        hours.setdefault(f"hour {int((each.sent_at - started) // 3600) + 1}", []).append(each)
    return {name: {"images": len(answers), **summarise(answers).to_json()} for name, answers in hours.items()}
