"""Dashboards as data: panels, units and queries."""

from dataclasses import dataclass, field
from enum import StrEnum


class DataSource(StrEnum):
    """The data source of a page, by its uid in Grafana."""

    PROMETHEUS = "starlight-prometheus"
    POSTGRESQL = "starlight-postgresql"


class Unit(StrEnum):
    """Units, by Grafana's names."""

    COUNT = "short"
    RATIO = "percentunit"
    SECONDS = "s"
    BYTES = "bytes"
    PER_SECOND = "reqps"
    CELSIUS = "celsius"


@dataclass(frozen=True, slots=True)
class Query:
    """An expression in PromQL or SQL, and the legend of its series."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A time series panel, or a table if the source is PostgreSQL."""

    title: str
    unit: Unit
    queries: tuple[Query, ...]
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A dashboard. `variables` maps the variables of its queries to the queries that give their values."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    source: DataSource = DataSource.PROMETHEUS
    variables: dict[str, str] = field(default_factory=dict)


def quantiles(metric: str, by: str = "", where: str = "", window: str = "$__rate_interval") -> tuple[Query, ...]:
    """Return the queries of a histogram's 50th, 95th and 99th percentiles."""
    labels = f"le, {by}" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    return tuple(
        Query(
            f"histogram_quantile({quantile}, sum by ({labels}) (rate({metric}_bucket{where}[{window}])))",
            f"{legend}{name}",
        )
        for quantile, name in ((0.5, "median"), (0.95, "95 %"), (0.99, "99 %"))
    )
