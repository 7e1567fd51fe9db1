"""The command line of `scripts/chaos`."""

import argparse
import json
import logging
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import redis
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from research.chaos.faults import FAULTS, PAUSE_S, schedule
from research.chaos.hostile import HOSTILE
from research.chaos.jobs import PlannedJob, draw_pictures, plan_jobs
from research.chaos.posts import SUBMITTER, count_unfinished, post_images
from research.chaos.stack import ChaosStack, Member, run_stack
from research.chaos.watching import Recoveries, count_finished
from starlight_vocabulary.words import ErrorCode
from storage.audits import audit_jobs
from storage.embedded.postgres import EmbeddedServerError
from storage.logs import set_up_logging

LOOK_EVERY_S = 0.2
SETTLE_S = 180.0

LIST_JOBS = text("SELECT id FROM jobs WHERE submitter <> :submitter ORDER BY id")
LIST_POSTS = text("SELECT id FROM jobs WHERE submitter = :submitter ORDER BY id")

log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Inject faults into a real stack while it scans, and audit it; exit with 1 if an image was lost or doubled."""
    parser = argparse.ArgumentParser(prog="chaos", description=main.__doc__)
    parser.add_argument("--images", type=int, default=2000, help="number of images (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=3.0, help="time in which the faults happen (%(default)s)")
    parser.add_argument("--faults", type=int, help="number of faults; default: twelve per minute")
    parser.add_argument(
        "--hostile",
        type=int,
        help="number of images that crash or overload decoders or are invalid; default: 0.1 %%",
    )
    options = parser.parse_args(arguments)
    set_up_logging("chaos", style="text")
    rng = np.random.default_rng(options.seed)
    names = schedule(options.faults or round(12 * options.minutes), rng)
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        # PostgreSQL started by root runs under another account, which must reach the folder.
        Path(folder).chmod(0o711)
        count = max(len(HOSTILE), options.images // 1000) if options.hostile is None else options.hostile
        harmless, hostile = draw_pictures(Path(folder) / "pictures", rng, count)
        jobs = list(plan_jobs(harmless, hostile, options.images, rng))
        with run_stack(Path(folder)) as stack:
            run = Run(stack, jobs, names, 60 * options.minutes, rng)
            with post_images(stack.api, stack.key, options.seed) as posts:
                run.play()
            run.settle()
            result = run.result(hostile) | {"posts": posts.account(stack.engine)}
    print(json.dumps(result))
    return 0 if is_sound(result) else 1


def is_sound(result: dict[str, Any]) -> bool:
    """Return whether every image has one verdict, and exactly the hostile ones have the expected errors."""
    images = result["hostile"]
    return bool(
        result["lost"] == result["doubled"] == len(images["errors_of_others"]) == 0
        and result["verdicts"] == result["submitted"]
        and images["as_expected"] == images["fed"]
        and result["posts"]["lost"] == result["posts"]["doubled"] == 0
    )


class Run:
    """One run: submits all jobs, injects the scheduled faults, and waits until every image has its verdict."""

    def __init__(
        self, stack: ChaosStack, jobs: list[PlannedJob], names: list[str], duration_s: float, rng: np.random.Generator
    ) -> None:
        self._stack = stack
        self._jobs = jobs
        self._images = sum(len(job.references) for job in jobs)
        self._left = names[::-1]
        self._interval_s = duration_s / max(1, len(names))
        self._rng = rng
        self._done: Counter[str] = Counter()
        self._recoveries = Recoveries()
        self._wake: list[tuple[float, Member]] = []
        self._started = time.monotonic()

    def play(self) -> None:
        """Run to the end; raises TimeoutError if there is no verdict for `SETTLE_S`."""
        submitting = threading.Thread(target=self._submit, daemon=True)
        submitting.start()
        next_fault = self._started + self._interval_s
        finished, last_progress = 0, time.monotonic()
        while finished < self._images or self._left:
            now = time.monotonic()
            counted = count_finished(self._stack.engine)
            if counted is not None and counted > finished:
                finished, last_progress = counted, now
                self._recoveries.progress(finished)
            if self._left and now >= next_fault:
                self._inject_fault(finished)
                next_fault = max(next_fault + self._interval_s, now)
                last_progress = now
            if finished < self._images and now - last_progress > SETTLE_S:
                raise TimeoutError(f"no verdict for {SETTLE_S:.0f} s; {finished} of {self._images} images finished")
            self._maintain_stage(now)
            time.sleep(LOOK_EVERY_S)
        submitting.join()

    def settle(self) -> None:
        """Wait until PostgreSQL is back after the last fault, and all images sent one by one have a verdict.

        Raises TimeoutError after `SETTLE_S`.
        """
        deadline = time.monotonic() + SETTLE_S
        while count_finished(self._stack.engine) is None or count_unfinished(self._stack.engine):
            if time.monotonic() > deadline:
                raise TimeoutError(f"some images sent one by one have no verdict after {SETTLE_S:.0f} s")
            self._maintain_stage(time.monotonic())
            time.sleep(LOOK_EVERY_S)

    def result(self, hostile: Mapping[str, ErrorCode]) -> dict[str, Any]:
        """Return the results of the audit."""
        with self._stack.engine.connect() as connection:
            of_jobs = connection.execute(LIST_JOBS, {"submitter": SUBMITTER}).scalars().all()
            of_posts = connection.execute(LIST_POSTS, {"submitter": SUBMITTER}).scalars().all()
            rows = connection.execute(
                text("SELECT uri, error_code, error_detail FROM verdicts WHERE outcome = 'error'")
            ).all()
        audits = list(audit_jobs(self._stack.engine, of_jobs))
        inexact_posts = sum(not audit.exact for audit in audit_jobs(self._stack.engine, of_posts))
        errors = {row.uri: (row.error_code, row.error_detail) for row in rows}
        unexpected = [
            f"{uri}: {found[0]} ({found[1]}), not {code}"
            for uri, code in hostile.items()
            if (found := errors.get(uri, (None, None)))[0] != code
        ]
        return {
            "submitted": self._images,
            "verdicts": sum(audit.verdicts for audit in audits),
            "lost": self._images - sum(audit.references for audit in audits) + sum(audit.missing for audit in audits),
            "doubled": sum(audit.double for audit in audits)
            + sum(not audit.counters_agree for audit in audits)
            + inexact_posts,
            "faults": dict(sorted(self._done.items())),
            "longest_recovery_s": round(self._recoveries.longest_s, 1),
            "longest_recovery_after": self._recoveries.longest_after,
            "hostile": {
                "fed": len(hostile),
                "as_expected": len(hostile) - len(unexpected),
                "otherwise": unexpected,
                "errors_of_others": {uri: code for uri, (code, _) in errors.items() if uri not in hostile},
            },
            "jobs": len(audits),
            "starts": {member.name: member.starts for member in self._stack.members},
            "seconds": round(time.monotonic() - self._started, 1),
        }

    def _submit(self) -> None:
        for job in self._jobs:
            job.submit(self._stack.engine)

    def _inject_fault(self, finished: int) -> None:
        name = self._left[-1]
        paused = {member.name for member in self._stack.members if member.paused}
        try:
            if not FAULTS[name](self._stack, self._rng):
                if finished == self._images:
                    # Nothing is left to scan, so its target, such as a decoder, may never run again.
                    self._left.pop()
                return
        except (SQLAlchemyError, redis.RedisError, OSError):
            # The server is still down from an earlier fault: retry this fault later.
            return
        self._left.pop()
        self._done[name] += 1
        self._recoveries.fault(name, finished)
        log.info("%s (%d of %d images finished)", name, finished, self._images)
        for member in self._stack.members:
            if member.paused and member.name not in paused:
                self._wake.append((time.monotonic() + PAUSE_S, member))

    def _maintain_stage(self, now: float) -> None:
        for due, member in [each for each in self._wake if each[0] <= now]:
            self._wake.remove((due, member))
            if member.alive:
                member.send(signal.SIGCONT)
            member.paused = False
        try:
            self._stack.keep_running()
        except EmbeddedServerError as error:
            # Processes of a killed server hold its shared memory for a moment.
            log.info("retrying: %s", str(error).splitlines()[0])
