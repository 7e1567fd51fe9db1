"""Checks what the chart renders to against Kubernetes' schemas; `scripts/chart_check` runs it."""

import sys

import helm_python
import kubernetes_validate
from render import CHART, render

VERSIONS = ("1.27", "1.37")


def main() -> None:
    """Check everything; end with 1 where anything is wrong."""
    wrong = list(helm_python.lint(str(CHART))["errors"])
    unknown = set()
    for case, objects in render():
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
