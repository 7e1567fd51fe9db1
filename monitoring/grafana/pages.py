"""What a dashboard is: its panels, their units, and the queries behind them."""

from dataclasses import dataclass, field
from enum import StrEnum


class Source(StrEnum):
    """Where the data of a page comes from; a data source of Grafana by its uid."""

    PROMETHEUS = "starlight-prometheus"
    POSTGRESQL = "starlight-postgresql"


class Unit(StrEnum):
    """Units as Grafana calls them."""

    COUNT = "short"
    RATIO = "percentunit"
    SECONDS = "s"
    BYTES = "bytes"
    PER_SECOND = "reqps"
    CELSIUS = "celsius"


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, in PromQL or SQL, and what its lines are called."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines over time, or a table where the page reads PostgreSQL."""

    title: str
    unit: Unit
    queries: tuple[Query, ...]
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A dashboard. `variables` are names that its queries use, each with the metric and label that it takes."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    source: Source = Source.PROMETHEUS
    variables: dict[str, str] = field(default_factory=dict)


def quantiles(metric: str, by: str = "", where: str = "", window: str = "$__rate_interval") -> tuple[Query, ...]:
    """Return the queries of the median and of the slowest twentieth and hundredth of a histogram."""
    labels = f"le, {by}" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    return tuple(
        Query(
            f"histogram_quantile({quantile}, sum by ({labels}) (rate({metric}_bucket{where}[{window}])))",
            f"{legend}{name}",
        )
        for quantile, name in ((0.5, "median"), (0.95, "95 %"), (0.99, "99 %"))
    )
