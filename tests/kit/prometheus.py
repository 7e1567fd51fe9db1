"""Prometheus, if it is installed: its tools, and a server that scrapes the targets of a test."""

import json
import math
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kit.output import Output
from tests.kit.ports import find_free_port
from tests.kit.threads import PATIENCE_S

RULES = Path(__file__).parents[2] / "monitoring" / "prometheus"


def find_tool(name: str) -> str:
    """Return the path of a program; skip the test if it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} here: apt-get install prometheus prometheus-alertmanager")
    return found


def read_rules(name: str) -> list[dict[str, Any]]:
    """Return the rules of a file."""
    groups = yaml.safe_load((RULES / name).read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


class Pulse(ThreadingHTTPServer):
    """A target that counts its scrapes, as a clock for the scrapes of other targets and the evaluation of rules."""

    def __init__(self) -> None:
        scraped = self.scraped = threading.Semaphore(0)

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                scraped.release()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        super().__init__(("127.0.0.1", 0), Answer)


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    port: int
    pulse: Pulse

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an API response."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> dict[frozenset[tuple[str, str]], float]:
        """Return the current values of an expression, by labels."""
        found = self.ask("query", query=expression)
        if found["resultType"] == "scalar":
            return {frozenset(): float(found["result"][1])}
        return {frozenset(each["metric"].items()): float(each["value"][1]) for each in found["result"]}

    def query_past(self, expression: str, seconds: int) -> list[float]:
        """Return all values of an expression, of all its series, in the last seconds; NaN is left out."""
        now = time.time()
        found = self.ask("query_range", query=expression, start=str(now - seconds), end=str(now), step="1")
        values = (float(value) for series in found["result"] for _, value in series["values"])
        return [value for value in values if not math.isnan(value)]

    def wait_for(self, expression: str, scrapes: int = 60) -> dict[frozenset[tuple[str, str]], float]:
        """Return the values of an expression as soon as it has any, within this many scrapes."""
        for _ in range(scrapes):
            if found := self.query(expression):
                return found
            assert self.pulse.scraped.acquire(timeout=PATIENCE_S), "Prometheus scrapes nothing"
        raise AssertionError(f"{expression} has no value after {scrapes} scrapes")


@contextmanager
def run_prometheus(folder: Path, targets: Mapping[str, Sequence[str]], interval: str = "1s") -> Iterator[Prometheus]:
    """Run a server with the project's rules that scrapes these targets, given by job."""
    program = find_tool("prometheus")
    port = find_free_port()
    pulse = Pulse()
    threading.Thread(target=pulse.serve_forever, daemon=True).start()
    configuration = folder / "prometheus.yml"
    configuration.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
                "rule_files": [str(RULES / "recording.yml"), str(RULES / "alerts.yml")],
                "scrape_configs": [
                    {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
                    for job, addresses in (*targets.items(), ("pulse", [f"127.0.0.1:{pulse.server_port}"]))
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
        yield Prometheus(port, pulse)
    finally:
        pulse.shutdown()
        pulse.server_close()
        process.terminate()
        process.wait(PATIENCE_S)
