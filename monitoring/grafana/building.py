"""Builds Grafana's dashboards from pages."""

import textwrap
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard, prometheus, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from monitoring.grafana.pages import DataSource, Page, Panel

KINDS = {DataSource.PROMETHEUS: "prometheus", DataSource.POSTGRESQL: "grafana-postgresql-datasource"}
# The width of a dashboard is 24: panels take a third, tables all of it.
SPAN, TABLE_SPAN, HEIGHT = 8, 24, 8


@dataclass(frozen=True)
class SqlQuery(Dataquery):
    """A query of a PostgreSQL data source, for which the SDK has no model."""

    ref_id: str
    sql: str

    def to_json(self) -> dict[str, object]:
        """Return the query in the format of Grafana's data source."""
        return {"refId": self.ref_id, "format": "table", "rawQuery": True, "editorMode": "code", "rawSql": self.sql}


@dataclass(frozen=True)
class SqlQueryBuilder:
    """A builder of a query, as the SDK requires."""

    query: SqlQuery

    def build(self) -> Dataquery:
        """Return the query."""
        return self.query


def build_dashboard(page: Page) -> str:
    """Return the JSON of a page, formatted as by Grafana."""
    built = (
        dashboard.Dashboard(page.title)
        .uid(page.uid)
        .tags(["starlight"])
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .readonly()
    )
    for name, query in page.variables.items():
        built = built.with_variable(
            dashboard.QueryVariable(name).query(query).datasource(refer_to(page.source)).multi(True).include_all(True)
        )
    for panel in page.panels:
        built = built.with_panel(build_panel(panel, page.source))
    return JSONEncoder(sort_keys=True, indent=2).encode(built.build()) + "\n"


def build_panel(panel: Panel, source: DataSource) -> Any:  # noqa: ANN401 - builders of the SDK share no type
    """Return the builder of a panel."""
    if source is DataSource.POSTGRESQL:
        built: Any = table.Panel().span(TABLE_SPAN)
        for number, query in enumerate(panel.queries):
            sql = textwrap.dedent(query.expression).strip()
            built = built.with_target(SqlQueryBuilder(SqlQuery(name_query(number), sql)))
    else:
        built = timeseries.Panel().span(SPAN).unit(panel.unit.value).min(0)
        for number, query in enumerate(panel.queries):
            target = prometheus.Dataquery().expr(query.expression).legend_format(query.legend)
            built = built.with_target(target.ref_id(name_query(number)))
    return built.title(panel.title).description(panel.explanation).height(HEIGHT).datasource(refer_to(source))


def name_query(number: int) -> str:
    """Return the letter of a query within its panel."""
    return chr(ord("A") + number)


def refer_to(source: DataSource) -> DataSourceRef:
    """Return the reference to a data source."""
    return DataSourceRef(type_val=KINDS[source], uid=source.value)
