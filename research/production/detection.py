"""Checks detection on drawn images with known truth: each method, and clean ones."""

from collections import Counter

from producer.canaries.drawing import Canary, draw_canaries
from research.production.checklist import Check
from research.production.deployment import Deployment, scan_image


def check_detection(check: Check, deployment: Deployment, seed: int, rounds: int) -> None:
    """Scan `rounds` rounds of drawn images and compare each answer with the truth."""
    right: Counter[str] = Counter()
    of: Counter[str] = Counter()
    with deployment.open() as client:
        for number in range(rounds):
            for canary in draw_canaries(seed + number):
                kind = canary.hidden or "clean"
                of[kind] += 1
                answer = scan_image(client, canary.name, canary.data)
                wrong = find_wrong(canary, answer.status_code, answer.json() if answer.status_code == 200 else {})
                right[kind] += wrong is None
                check.expect(wrong is None, f"round {seed + number}, {canary.name}: {wrong}")
    check.figures = {kind: {"right": right[kind], "of": count} for kind, count in of.items()}


def find_wrong(canary: Canary, status: int, answer: dict[str, dict[str, object]]) -> str | None:
    """Return what is wrong with an answer of `/scan/image`; None if it is correct."""
    if status != 200:
        return f"answered {status}"
    found = answer["scan_result"]
    if found["is_stego"] != (canary.hidden is not None):
        return f"called {found['prediction']} with probability {found['stego_probability']}"
    if canary.hidden is None:
        return None
    if found["stego_type"] != canary.hidden:
        return f"named {found['stego_type']}"
    return None if found["extracted_message"] == canary.message else f"read {str(found['extracted_message'])[:40]!r}"
