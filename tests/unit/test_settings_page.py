"""docs/settings.md is up to date."""

from pathlib import Path

from research.settings_page import COMPUTED, GROUPS, page
from storage.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_says_what_the_settings_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "docs/settings.md is out of date: scripts/fix writes it anew"


def test_every_setting_has_a_meaning() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_what_the_page_adds_is_about_settings_that_there_are() -> None:
    assert set(GROUPS) <= set(Settings.model_fields)
    assert set(COMPUTED) == {name for name, field in Settings.model_fields.items() if field.default_factory}
