"""Every alert is explained in the runbook, and is tested with a case in which it fires and one in which it does not."""

import re

import yaml

from tests.kit.prometheus import RULES, read_rules

RUNBOOK = (RULES.parents[1] / "docs" / "runbook.md").read_text(encoding="utf-8")
ALERTS = {rule["alert"]: rule for rule in read_rules("alerts.yml")}


def test_every_alert_says_how_urgent_it_is_what_is_so_and_where_to_read_on() -> None:
    for name, alert in ALERTS.items():
        assert alert["labels"]["severity"] in ("page", "ticket"), name
        assert alert["annotations"]["summary"], name
        assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"


def test_the_runbook_has_a_section_for_each_alert_in_their_order() -> None:
    sections = re.findall(r"^### (\w+)\n\n(\w+)\.", RUNBOOK, re.MULTILINE)

    assert sections == [(name, alert["labels"]["severity"].capitalize()) for name, alert in ALERTS.items()]


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    cases = yaml.safe_load((RULES / "tests.yml").read_text(encoding="utf-8"))["tests"]
    fires = {case["name"]: bool(case["promql_expr_test"][0]["exp_samples"]) for case in cases}

    for name in ALERTS:
        assert [fired for title, fired in fires.items() if title.split()[0] == name] == [True, False], name
    assert len(cases) == 2 * len(ALERTS)


def test_no_name_of_a_rule_is_used_twice() -> None:
    names = [rule.get("alert") or rule["record"] for rule in (*read_rules("alerts.yml"), *read_rules("recording.yml"))]

    assert len(names) == len(set(names))
