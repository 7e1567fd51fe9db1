"""The dashboards of Grafana, as Python data; `python -m monitoring.grafana` writes Grafana's files."""
