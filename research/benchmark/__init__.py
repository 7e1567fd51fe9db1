"""What `scripts/bench.py` measures: throughput, latency, backlog, memory and start times, in one run."""
