"""Checks that each image has exactly one verdict, that jobs are sealed and intact, and that metrics are complete."""

import hashlib
import io
import tarfile
import time
from collections.abc import Sequence
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from producer.canaries.drawing import Canary, draw_canaries
from research.production.checklist import Check, NotCheckedError
from research.production.deployment import TIMEOUT_S, Deployment
from starlight_client import RefusedError, Starlight
from starlight_vocabulary.words import Outcome

# A job is sealed shortly after its end.
SEALED_WITHIN_S = 60.0
PAUSE_S = 0.5
FAMILIES: Final = (
    "starlight_images_submitted", "starlight_images_finished", "starlight_images_unaccounted",
    "starlight_image_seconds", "starlight_queue_images", "starlight_workers", "starlight_postgres_up",
    "starlight_redis_up",
)  # fmt: skip


def check_bulk(check: Check, deployment: Deployment, seed: int, rounds: int) -> None:
    """Submit drawn images as one job; compare all verdicts with the truth, and the job with its seal."""
    canaries = [canary for number in range(rounds) for canary in draw_canaries(seed + number)]
    with Starlight(deployment.url, deployment.key) as starlight:
        started = time.monotonic()
        with pack_archive(canaries) as archive:
            job = starlight.upload_archive(archive)
        job = starlight.wait(job.id)
        took = time.monotonic() - started
        verdicts = list(starlight.verdicts(job.id))
        wrong = [
            canary.name
            for canary, verdict in zip(canaries, verdicts, strict=False)
            if (verdict.outcome == Outcome.STEGO) != (canary.hidden is not None)
        ]
        check.expect(
            len(verdicts) == len(canaries) == job.finished, f"{len(verdicts)} verdicts on {len(canaries)} images"
        )
        check.expect(not wrong, f"wrong outcomes: {', '.join(wrong[:5])}")
        intact = _verify(starlight, str(job.id))
        check.expect(intact, "the job's verdicts differ from its seal, or it was not sealed in time")
    check.figures = {
        "images": len(canaries), "per_minute": round(60 * len(canaries) / took), "wrong": len(wrong), "intact": intact,
    }  # fmt: skip


def check_single_verdicts(check: Check, deployment: Deployment, answered: Sequence[Canary]) -> None:
    """Check that each image that was sent one by one has exactly one verdict."""
    with Starlight(deployment.url, deployment.key) as starlight:
        digests = [hashlib.sha256(canary.data).hexdigest() for canary in answered]
        counts = [len(list(starlight.image(digest))) for digest in digests]
    check.expect(
        all(count == 1 for count in counts), f"{sum(count != 1 for count in counts)} images lack exactly one verdict"
    )
    check.figures = {"images": len(counts), "missing": counts.count(0), "doubled": sum(count > 1 for count in counts)}


def check_metrics(check: Check, deployment: Deployment) -> None:
    """Check the exporter: it has the metrics that dashboards and alerts need, servers are up, no image is missing."""
    if deployment.exporter is None:
        raise NotCheckedError("--exporter was not given")
    text = httpx.get(f"{deployment.exporter}/metrics", timeout=TIMEOUT_S).raise_for_status().text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for name in FAMILIES:
        check.expect(name in families, f"{name} is missing")
    for name, wanted in (
        ("starlight_images_unaccounted", 0),
        ("starlight_postgres_up", 1),
        ("starlight_redis_up", 1),
    ):
        values = [sample.value for sample in families[name].samples] if name in families else []
        check.expect(all(value == wanted for value in values), f"{name} is {values}")
    check.figures = {"families": len(families)}


def _verify(starlight: Starlight, job_id: str) -> bool:
    deadline = time.monotonic() + SEALED_WITHIN_S
    while True:
        try:
            return starlight.verify(job_id).intact
        except RefusedError:
            if time.monotonic() > deadline:
                return False
            time.sleep(PAUSE_S)


def pack_archive(canaries: Sequence[Canary]) -> io.BytesIO:
    """Return a tar archive of these images, in this order."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as members:
        for number, canary in enumerate(canaries):
            member = tarfile.TarInfo(f"{number}/{canary.name}")
            member.size = len(canary.data)
            members.addfile(member, io.BytesIO(canary.data))
    archive.seek(0)
    return archive
