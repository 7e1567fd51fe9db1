"""What operators see: the metrics exporter and Flower. It reads, and never writes."""
