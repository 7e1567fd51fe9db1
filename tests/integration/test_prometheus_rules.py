"""The rules, checked by Prometheus' own tools."""

import subprocess

import pytest

from tests.kit.prometheus import RULES, find_tool


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("promtool", ["check", "rules", "recording.yml", "alerts.yml"]),
        ("promtool", ["check", "config", "--syntax-only", "prometheus.yml"]),
        ("promtool", ["test", "rules", "tests.yml"]),
        ("amtool", ["check-config", "alertmanager.yml"]),
    ],
    ids=["rules", "prometheus.yml", "tests of the rules", "alertmanager.yml"],
)
def test_the_tool_finds_nothing_wrong(tool: str, arguments: list[str]) -> None:
    checked = subprocess.run([find_tool(tool), *arguments], cwd=RULES, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr
