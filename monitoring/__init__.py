"""What operators see: the metrics exporter and Flower's configuration. It reads, and never writes."""
