"""Prometheus as Debian packages it, where it is installed: its tools, and a server that scrapes what a test serves."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from storage.embedded.ports import find_free_port
from tests.kit.output import Output
from tests.kit.threads import PATIENCE_S

RULES = Path(__file__).parents[2] / "monitoring" / "prometheus"


def find_tool(name: str) -> str:
    """Return the path of a program, or skip the test where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} here: apt-get install prometheus prometheus-alertmanager")
    return found


def read_rules(name: str) -> list[dict[str, Any]]:
    """Return the rules of a file."""
    groups = yaml.safe_load((RULES / name).read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    port: int

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of its API."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> dict[frozenset[tuple[str, str]], float]:
        """Return the present values of an expression by their labels."""
        found = self.ask("query", query=expression)
        if found["resultType"] == "scalar":
            return {frozenset(): float(found["result"][1])}
        return {frozenset(each["metric"].items()): float(each["value"][1]) for each in found["result"]}


@contextmanager
def run_prometheus(folder: Path, targets: Mapping[str, Sequence[str]], interval: str = "1s") -> Iterator[Prometheus]:
    """Run a server with the project's rules, which scrapes these addresses by their jobs, while the block lasts."""
    program = find_tool("prometheus")
    port = find_free_port()
    configuration = folder / "prometheus.yml"
    configuration.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
                "rule_files": [str(RULES / "recording.yml"), str(RULES / "alerts.yml")],
                "scrape_configs": [
                    {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
                    for job, addresses in targets.items()
                ],
            }
        )
    )
    process = subprocess.Popen(
        [
            program, f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'series'}",
            f"--web.listen-address=127.0.0.1:{port}", "--log.level=info",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        Output(process.stderr).wait_for("Server is ready to receive web requests")
        yield Prometheus(port)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
