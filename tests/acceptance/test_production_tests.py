"""The short form of `tests/production_tests.py` against `starlight up`, and against a server that is something else."""

import json
from pathlib import Path

import pytest

from producer.canaries.drawing import Canary
from research.production.checklist import Check, Checklist
from research.production.command import main
from research.production.detection import find_wrong
from starlight_vocabulary.words import Method, Scope
from storage.keys import create_key
from tests.kit.ports import find_free_port
from tests.kit.stack import RunningStack

HIDDEN = Canary("lsb.png", b"", Method.LSB_RGB, "Meet me")
FOUND = {"is_stego": True, "prediction": "stego", "stego_probability": 1.0, "stego_type": "lsb.rgb"}


def test_a_stack_passes_the_checklist(stack: RunningStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = create_key(stack.engine, "production", [Scope.SUBMIT, Scope.READ])
    url = stack.addresses["API"].removesuffix("/docs")
    exporter = stack.addresses["Metrics"].removesuffix("/metrics")
    options = ["--minutes", "0.05", "--rate", "600", "--rounds", "1", "--json", str(tmp_path / "report.json")]

    status = main(["--url", url, "--key", key, "--exporter", exporter, *options])

    assert status == 0, capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text())
    results = {check["name"]: check["result"] for check in report["checks"]}
    assert results.pop("transport") == "skipped"
    assert len(results) == 9
    assert set(results.values()) == {"passed"}
    figures = {check["name"]: check["figures"] for check in report["checks"]}
    assert figures["load"]["requests"] == 30
    assert figures["bulk"]["images"] == 10
    assert figures["single verdicts"] == {"images": 30, "missing": 0, "doubled": 0}


def test_a_deployment_that_refuses_the_key_fails(stack: RunningStack, capsys: pytest.CaptureFixture[str]) -> None:
    url = stack.addresses["API"].removesuffix("/docs")

    assert main(["--url", url, "--key", "starlight_none", "--minutes", "0.01", "--rounds", "1"]) == 1

    said = capsys.readouterr().out
    for name in ("detection", "load", "bulk"):
        assert f"failed  {name}:" in said


def test_where_nothing_answers_the_command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", f"http://127.0.0.1:{find_free_port()}", "--key", "any"]) == 2
    assert "no Starlight answers at" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("canary", "status", "found", "wrong"),
    [
        (HIDDEN, 200, {**FOUND, "extracted_message": "Meet me"}, None),
        (HIDDEN, 200, {**FOUND, "extracted_message": "Meet"}, "read 'Meet'"),
        (HIDDEN, 200, {**FOUND, "stego_type": "raw", "extracted_message": "Meet me"}, "named raw"),
        (HIDDEN, 200, {**FOUND, "is_stego": False, "prediction": "clean"}, "called clean with probability 1.0"),
        (Canary("clean.png", b""), 200, FOUND, "called stego with probability 1.0"),
        (Canary("clean.png", b""), 200, {**FOUND, "is_stego": False}, None),
        (HIDDEN, 503, {}, "answered 503"),
    ],
)
def test_an_answer_is_compared_with_the_truth(
    canary: Canary, status: int, found: dict[str, object], wrong: str | None
) -> None:
    assert find_wrong(canary, status, {"scan_result": found}) == wrong


def test_a_check_that_breaks_keeps_no_other_from_being_made() -> None:
    checklist = Checklist(lambda _: None)

    def refuse(check: Check) -> None:
        check.expect(False, "not so")

    checklist.make("one", "a promise", refuse)
    checklist.make("two", "a promise", lambda check: check.figures.update(count=1))

    assert [check["result"] for check in checklist.report()] == ["failed", "passed"]
    assert checklist.failed
