"""`python -m monitoring.grafana`: write the files of the dashboards."""

from pathlib import Path

from monitoring.grafana.building import build_dashboard
from monitoring.grafana.postgresql_pages import ANALYSTS
from monitoring.grafana.prometheus_pages import API, GPU, OPERATIONS, QUALITY, WORKER

PAGES = (OPERATIONS, WORKER, GPU, API, QUALITY, ANALYSTS)
FOLDER = Path(__file__).parent / "dashboards"


def main() -> None:
    """Write a file for each page, and delete the files of removed pages."""
    for file in FOLDER.glob("*.json"):
        file.unlink()
    for page in PAGES:
        (FOLDER / f"{page.uid}.json").write_text(build_dashboard(page), encoding="utf-8")


if __name__ == "__main__":
    main()
