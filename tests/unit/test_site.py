"""The documentation as a site: no link is broken, and no page loads anything from another site."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
# Attributes with URLs that a browser loads automatically, unlike links.
LOADED = {
    "script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "object": "data", "embed": "src",
}  # fmt: skip
# Relations of <link> elements that a browser does not load automatically.
NOT_LOADED = {"next", "prev", "index", "search", "author", "top"}
IN_STYLES = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])(?!data:|#)([^"')\s]+)""")


class Loaded(HTMLParser):
    """Collects the URLs that a page loads."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        where = values.get(LOADED.get(tag, ""))
        if where and not (tag == "link" and values.get("rel") in NOT_LOADED) and not where.startswith("data:"):
            self.found.add(where)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built by `scripts/build_docs`."""
    folder = tmp_path_factory.mktemp("site") / "out"
    built = subprocess.run(
        [ROOT / "scripts" / "build_docs", folder],
        env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return folder


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = {page: Loaded(page).found for page in site.rglob("*.html")}
    for style in site.rglob("*.css"):
        pages[style] = set(IN_STYLES.findall(style.read_text(encoding="utf-8")))

    assert any(pages.values())
    for page, found in pages.items():
        for where in found:
            parts = urlsplit(where)
            assert not parts.scheme, f"{page.name} loads {where}"
            assert not parts.netloc, f"{page.name} loads {where}"
            assert (page.parent / unquote(parts.path)).is_file(), f"{page.name} loads {where}, which is not there"


def test_the_navigation_leads_to_every_page(site: Path) -> None:
    """Except the decisions, which have a list of their own."""
    pages = {path.relative_to(ROOT) for folder in ("docs", "results") for path in (ROOT / folder).glob("*.md")}
    pages |= {Path(name) for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")}
    navigation = (site / "index.html").read_text(encoding="utf-8").partition('class="sidebar-tree"')[2]
    navigation = navigation.partition("</aside>")[0]

    assert [page for page in sorted(pages) if f'href="{page.with_suffix(".html")}"' not in navigation] == [], (
        "name them in docs/site/index.md"
    )
