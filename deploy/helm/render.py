"""Renders the chart with several values; `render.py FOLDER` writes what comes out, a file for each case."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import yaml

CHART = Path(__file__).parent / "starlight"
# What is rendered: as it is, without what the cluster may lack, and with GPUs.
CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "plain": {"keda": {"enabled": False}, "network": {"enabled": False}},
    "gpu": {"workers": {"gpu": {"maximum": 8}}, "image": {"pullSecrets": [{"name": "registry"}]}},
}


def render() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each case with the objects that the chart makes of it."""
    with helm_python.Chart.load(str(CHART)) as chart:
        for case, values in CASES.items():
            rendered = chart.render(values, name="demo", namespace="starlight")
            yield case, [each for text in rendered.values() for each in yaml.safe_load_all(text) if each]


if __name__ == "__main__":
    for case, objects in render():
        (Path(sys.argv[1]) / f"{case}.yaml").write_text(yaml.safe_dump_all(objects))
