"""Renders the chart with several values and checks it against Kubernetes' schemas; `scripts/chart_check` runs it."""

import sys
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import yaml

CHART = Path(__file__).parent / "starlight"
VERSIONS = ("1.27", "1.37")
# What is rendered: as it is, without what the cluster may lack, and with GPUs.
CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "plain": {"keda": {"enabled": False}, "network": {"enabled": False}},
    "gpu": {"workers": {"gpu": {"maximum": 8}}, "image": {"pullSecrets": [{"name": "registry"}]}},
}


def main() -> None:
    """Check everything; end with 1 where anything is wrong."""
    wrong = list(helm_python.lint(str(CHART))["errors"])
    unknown = set()
    with helm_python.Chart.load(str(CHART)) as chart:
        for case, values in CASES.items():
            rendered = chart.render(values, name="demo", namespace="starlight")
            objects = [each for text in rendered.values() for each in yaml.safe_load_all(text) if each]
            for each in objects:
                name = f"{case}: {each['kind']} {each['metadata']['name']}"
                try:
                    for version in VERSIONS:
                        kubernetes_validate.validate(each, version, strict=True)
                except kubernetes_validate.SchemaNotFoundError:
                    unknown.add(each["kind"])
                except kubernetes_validate.ValidationError as error:
                    wrong.append(f"{name}: {error.message} at {'/'.join(map(str, error.path))}")
            print(f"{case}: {len(objects)} objects")
    print(f"no schema for {', '.join(sorted(unknown)) or 'none'}; the others fit Kubernetes {' and '.join(VERSIONS)}")
    for finding in wrong:
        print(f"wrong: {finding}")
    sys.exit(bool(wrong))


main()
