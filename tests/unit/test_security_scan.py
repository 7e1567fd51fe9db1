"""Comparing scanner findings with acceptances; `scripts/security_scan` runs the scanners themselves."""

from research.security_scan import (
    ROOT,
    Acceptance,
    ScannerFinding,
    compare,
    list_vulnerable,
    read_acceptances,
    read_documents,
)

SQL = ScannerFinding("bandit", "B608", "storage/jobs.py")
ACCEPTED = Acceptance("bandit", "B608", "storage", "constants")


def test_what_is_accepted_is_about_files_that_there_are_and_has_a_reason() -> None:
    for each in read_acceptances():
        assert (ROOT / each.file).exists(), each
        assert each.reason.strip(), each


def test_a_finding_that_nothing_explains_is_told_and_so_is_an_explanation_of_nothing() -> None:
    elsewhere, other_rule = (
        ScannerFinding("bandit", "B608", "storage2/jobs.py"),
        ScannerFinding("bandit", "B104", "storage/jobs.py"),
    )

    assert compare([SQL], [ACCEPTED]) == ([], [])
    assert compare([SQL, elsewhere, other_rule], [ACCEPTED]) == ([elsewhere, other_rule], [])
    assert compare([], [ACCEPTED]) == ([], [ACCEPTED])


def test_packages_that_could_not_be_looked_up_are_not_taken_for_safe() -> None:
    skipped = {"dependencies": [{"name": "jinja2", "skip_reason": "not found"}], "fixes": []}
    known = {"dependencies": [{"name": "jinja2", "version": "2.4.1", "vulns": [{"id": "CVE-1"}]}], "fixes": []}

    assert list_vulnerable(None) == list_vulnerable(skipped) == []
    assert list_vulnerable(known) == [("jinja2", "2.4.1", ["CVE-1"])]


def test_documents_that_follow_each_other_are_read() -> None:
    assert list(read_documents('{"a": 1}\n[2]\n')) == [{"a": 1}, [2]]
