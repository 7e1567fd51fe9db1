"""The files of the dashboards are up to date."""

import json
import re
from pathlib import Path

import pytest

from monitoring.grafana.pages import Page
from monitoring.grafana.postgresql_pages import ANALYSTS
from monitoring.grafana.prometheus_pages import API, GPU, OPERATIONS, QUALITY, WORKER

FOLDER = Path(__file__).parents[2] / "monitoring" / "grafana"
PAGES = (OPERATIONS, WORKER, GPU, API, QUALITY, ANALYSTS)


def test_each_page_has_its_file_and_nothing_else_has_one() -> None:
    assert {file.stem for file in (FOLDER / "dashboards").glob("*.json")} == {page.uid for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=[page.uid for page in PAGES])
def test_a_file_is_what_the_code_makes(page: Page) -> None:
    building = pytest.importorskip("monitoring.grafana.building", reason="grafana-foundation-sdk is not installed")

    written = (FOLDER / "dashboards" / f"{page.uid}.json").read_text(encoding="utf-8")

    assert building.build_dashboard(page) == written, "run `python -m monitoring.grafana`"


@pytest.mark.parametrize("page", PAGES, ids=[page.uid for page in PAGES])
def test_a_file_has_the_panels_and_queries_of_its_page(page: Page) -> None:
    document = json.loads((FOLDER / "dashboards" / f"{page.uid}.json").read_text(encoding="utf-8"))

    assert [panel["title"] for panel in document["panels"]] == [panel.title for panel in page.panels]
    for written, panel in zip(document["panels"], page.panels, strict=True):
        found = [target.get("expr") or target["rawSql"] for target in written["targets"]]
        wanted = [query.expression for query in panel.queries]
        assert [" ".join(each.split()) for each in found] == [" ".join(each.split()) for each in wanted]
        assert written["datasource"]["uid"] == page.source


def test_the_data_sources_are_provisioned() -> None:
    provisioned = (FOLDER / "provisioning" / "datasources" / "starlight.yml").read_text(encoding="utf-8")

    assert set(re.findall(r"uid: (\S+)", provisioned)) == {page.source.value for page in PAGES}
