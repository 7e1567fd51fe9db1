"""Samples of metrics, by name and label values, in the order of the label names."""

import urllib.request

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.kit.threads import PATIENCE_S

Samples = dict[str, dict[tuple[str, ...], float]]


def parse_samples(page: str) -> Samples:
    """Return every sample of a page of metrics."""
    samples: Samples = {}
    for family in text_string_to_metric_families(page):
        for each in family.samples:
            samples.setdefault(each.name, {})[tuple(value for _, value in sorted(each.labels.items()))] = each.value
    return samples


def read_registry(registry: CollectorRegistry) -> Samples:
    """Return every sample of a registry."""
    return parse_samples(generate_latest(registry).decode())


def scrape(port: int) -> Samples:
    """Return every sample served on a local port."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
        return parse_samples(answer.read().decode())
