"""Escaping text from outside for terminals, logs and cells."""

import pytest

from starlight_vocabulary.escaping import disarm, escape, escape_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 世界 🌍", "plain ü 世界 🌍"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\x1b[31m\x07\x7f\x00", "\\x1b[31m\\x07\\x7f\\x00"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202e\u2066\u200b\ufeff", "\\u202e\\u2066\\u200b\\ufeff"),
        ("\u2028\u2029\xa0\u3000", "\\u2028\\u2029\\xa0\\u3000"),
        ("\udcff\ud800", "\\udcff\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("", ""),
    ],
)
def test_what_is_not_printable_is_shown_escaped(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_lines_that_follow_are_indented() -> None:
    assert escape_lines("one\n2026-01-01 INFO two\r\n\x1b[2J") == "one\n    2026-01-01 INFO two\\r\n    \\x1b[2J"


@pytest.mark.parametrize("text", ["", "plain", "a=1", "1-2", "'=1"])
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert disarm(text) == text
