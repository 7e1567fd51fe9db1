"""Grafana's dashboards, as data that people review; `python -m monitoring.grafana` makes its files of them."""
