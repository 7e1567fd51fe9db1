"""docs/commands.md and docs/api-reference.md are up to date."""

from pathlib import Path

from research import api_page, commands_page

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_commands_says_what_the_commands_say() -> None:
    page = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert page == commands_page.page(), "docs/commands.md is out of date: scripts/fix"


def test_the_reference_of_the_api_says_what_its_document_says() -> None:
    page = (DOCS / "api-reference.md").read_text(encoding="utf-8")
    assert page == api_page.page(api_page.build_document()), "docs/api-reference.md is out of date: scripts/fix"
