"""`scripts/security_scan`: runs scanners on code, scripts, Dockerfiles and dependencies.

It fails for their findings that `docs/accepted-findings.toml` does not accept, and for acceptances that no longer match
one. Bandit's findings of low severity are left to Ruff, which has the same rules and needs a reason in the line.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ACCEPTED = ROOT / "docs" / "accepted-findings.toml"
CODE = ("client", "storage", "worker", "producer", "monitoring", "docker")
RECIPES = ("docker", "deploy")
CHART = ROOT / "deploy" / "helm"
LOCKS = ("requirements.lock", "docker/app.lock", "docker/worker.lock")
FRAMEWORKS = ("dockerfile", "kubernetes", "secrets")
# A release with known vulnerabilities: a scanner that finds none in it has no data.
KNOWN_VULNERABLE = "jinja2==2.4.1"


@dataclass(frozen=True, slots=True, order=True)
class ScannerFinding:
    """What a tool reports for a file by a rule; the path is relative to the repository."""

    tool: str
    rule: str
    file: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Accepted findings, and why; `file` may be a folder."""

    tool: str
    rule: str
    file: str
    reason: str

    def covers(self, finding: ScannerFinding) -> bool:
        """Return whether it accepts this finding."""
        return (self.tool, self.rule) == (finding.tool, finding.rule) and Path(finding.file).is_relative_to(self.file)


def read_acceptances() -> list[Acceptance]:
    """Return all acceptances; raises TypeError for one with a missing or an unknown field."""
    return [Acceptance(**each) for each in tomllib.loads(ACCEPTED.read_text())["accepted"]]


def compare(
    findings: Sequence[ScannerFinding], acceptances: Sequence[Acceptance]
) -> tuple[Sequence[ScannerFinding], Sequence[Acceptance]]:
    """Return the findings that are not accepted, and the acceptances that match no finding."""
    unaccepted = [finding for finding in findings if not any(each.covers(finding) for each in acceptances)]
    outdated = [each for each in acceptances if not any(each.covers(finding) for finding in findings)]
    return unaccepted, outdated


def run(tools: Path, *command: str | Path) -> str:
    """Return the output of a tool, whatever its exit status."""
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "SYFT_CHECK_FOR_APP_UPDATE": "false"}
    words = [str(tools / str(command[0])), *map(str, command[1:])]
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False).stdout


def read_documents(text: str) -> Iterator[Any]:
    """Yield the JSON documents that follow each other in a text."""
    decoder, text = json.JSONDecoder(), text.strip()
    while text:
        document, end = decoder.raw_decode(text)
        yield document
        text = text[end:].lstrip()


def scan_code(tools: Path) -> list[ScannerFinding]:
    """Return Bandit's findings of medium or higher severity."""
    report = json.loads(run(tools, "bandit", "--quiet", "-ll", "--format", "json", "--recursive", *CODE))
    return [
        ScannerFinding("bandit", each["test_id"], each["filename"], each["issue_text"]) for each in report["results"]
    ]


def scan_scripts(tools: Path) -> list[ScannerFinding]:
    """Return ShellCheck's findings in all shell scripts."""
    command = ["git", "ls-files"]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    scripts = [name for name in tracked.splitlines() if is_shell(ROOT / name)]
    report = json.loads(run(tools, "shellcheck", "--format", "json", *scripts))
    return [ScannerFinding("shellcheck", f"SC{each['code']}", each["file"], each["message"]) for each in report]


def is_shell(path: Path) -> bool:
    """Return whether a file has the first line of a sh or bash script."""
    with path.open("rb") as file:
        return file.readline().startswith((b"#!/bin/sh", b"#!/bin/bash", b"#!/usr/bin/env bash"))


def scan_dockerfiles(tools: Path) -> list[ScannerFinding]:
    """Return hadolint's findings."""
    report = json.loads(run(tools, "hadolint", "--format", "json", "docker/Dockerfile"))
    return [ScannerFinding("hadolint", each["code"], each["file"], each["message"]) for each in report]


def scan_recipes(tools: Path) -> list[ScannerFinding]:
    """Return Checkov's findings."""
    found = [finding for folder in RECIPES for finding, _ in check_folder(tools, ROOT / folder)]
    return [replace(finding, file=str(Path(finding.file).relative_to(ROOT))) for finding in found]


def scan_chart(tools: Path) -> list[ScannerFinding]:
    """Return Checkov's findings in the rendered Helm chart; raises SystemExit if it renders to nothing.

    The same finding for several values counts once.
    """
    with tempfile.TemporaryDirectory() as folder:
        run(tools, "python", CHART / "render.py", folder)
        if not any(Path(folder).iterdir()):
            raise SystemExit("the chart renders to nothing: scripts/chart_check says why")
        found = list(check_folder(tools, Path(folder)))
    chart = str((CHART / "starlight").relative_to(ROOT))
    return sorted({replace(finding, file=chart, text=f"{finding.text}: {resource}") for finding, resource in found})


def check_folder(tools: Path, folder: Path) -> Iterator[tuple[ScannerFinding, str]]:
    """Yield Checkov's findings in a folder, without network access, each with the object that it is about."""
    options = [word for framework in FRAMEWORKS for word in ("--framework", framework)]
    printed = run(tools, "checkov", "--skip-download", "--quiet", "--output", "json", *options, "-d", folder)
    if not printed.strip():
        raise SystemExit(f"Checkov says nothing of {folder}")
    for document in read_documents(printed):
        for report in document if isinstance(document, list) else [document]:
            for each in report.get("results", {}).get("failed_checks", []):
                file = str(folder / each["file_path"].lstrip("/"))
                yield ScannerFinding("checkov", each["check_id"], file, each["check_name"]), each["resource"]


def audit(tools: Path, requirements: Path) -> Any:  # noqa: ANN401 - a document
    """Return pip-audit's report on a file of pinned versions; None if it prints nothing."""
    options = ("--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json")
    printed = run(tools, "pip-audit", *options, "--requirement", requirements)
    return json.loads(printed) if printed else None


def list_vulnerable(report: Any) -> list[tuple[str, str, list[str]]]:  # noqa: ANN401 - a document
    """Return name, version and vulnerabilities of each vulnerable package."""
    packages = report["dependencies"] if report else []
    return [
        (each["name"], each["version"], [known["id"] for known in each["vulns"]])
        for each in packages
        if each.get("vulns")
    ]


def scan_dependencies(tools: Path) -> list[ScannerFinding] | None:
    """Return known vulnerabilities of the locked packages; None if pip-audit has no data."""
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "requirements.txt"
        probe.write_text(KNOWN_VULNERABLE)
        if not list_vulnerable(audit(tools, probe)):
            return None
    return [
        ScannerFinding("pip-audit", vulnerability, lock, f"{name} {version}")
        for lock in LOCKS
        for name, version, vulnerabilities in list_vulnerable(audit(tools, ROOT / lock))
        for vulnerability in vulnerabilities
    ]


def write_inventories(tools: Path, folder: Path, images: Collection[str]) -> Iterator[Path]:
    """Write inventories of the locks and of these images as CycloneDX, and yield the files."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        for lock in LOCKS:
            # Syft recognises requirements by this name.
            place = Path(name) / Path(lock).stem
            place.mkdir()
            (place / "requirements.txt").write_text((ROOT / lock).read_text())
            yield write_inventory(tools, f"dir:{place}", folder / f"{place.name}.json")
    for image in images:
        yield write_inventory(tools, f"docker:{image}", folder / f"{image.replace('/', '_').replace(':', '-')}.json")


def write_inventory(tools: Path, source: str, file: Path) -> Path:
    """Write Syft's inventory of a source to a file and return the file; raises SystemExit if it is empty."""
    file.unlink(missing_ok=True)
    run(tools, "syft", "scan", "--quiet", source, "--output", f"cyclonedx-json={file}")
    if not file.exists() or not json.loads(file.read_text()).get("components"):
        raise SystemExit(f"Syft finds nothing in {source}")
    return file


def main() -> None:
    """Run all scanners, and print the findings that are not accepted."""
    parser = argparse.ArgumentParser(prog="scripts/security_scan")
    parser.add_argument("--tools", type=Path, required=True, help="folder with the scanners' programs")
    parser.add_argument("--inventories", type=Path, default=ROOT / "build" / "sbom", help="where to write inventories")
    parser.add_argument("--image", action="append", default=[], help="container image to inventory too; repeatable")
    options = parser.parse_args()
    findings: list[ScannerFinding] = []
    for name, scan in (
        ("bandit", scan_code), ("shellcheck", scan_scripts), ("hadolint", scan_dockerfiles), ("checkov", scan_recipes),
        ("checkov on the chart", scan_chart),
    ):  # fmt: skip
        found = scan(options.tools)
        print(f"{name}: {len(found)} found", flush=True)
        findings += found
    acceptances = read_acceptances()
    known = scan_dependencies(options.tools)
    if known is None:
        print(f"pip-audit: skipped: it finds no vulnerability in {KNOWN_VULNERABLE}, so it has no data")
        acceptances = [each for each in acceptances if each.tool != "pip-audit"]
    else:
        print(f"pip-audit: {len(known)} found")
        findings += known
    for file in write_inventories(options.tools, options.inventories, options.image):
        print(f"inventory: {file}, {len(json.loads(file.read_text())['components'])} components", flush=True)
    unaccepted, outdated = compare(findings, acceptances)
    for finding in unaccepted:
        print(f"{finding.file}: {finding.tool} {finding.rule}: {finding.text}")
    for acceptance in outdated:
        print(f"{ACCEPTED.name}: {acceptance.tool} no longer finds {acceptance.rule} in {acceptance.file}")
    accepted = len(findings) - len(unaccepted)
    print(f"{accepted} accepted, {len(unaccepted)} not accepted, {len(outdated)} acceptances outdated")
    sys.exit(bool(unaccepted or outdated))


if __name__ == "__main__":
    main()
