"""Monitoring for operators: the metrics exporter, Flower, alerts and dashboards. It only reads, and never writes."""
