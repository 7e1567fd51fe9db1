"""The measurements of `scripts/bench.py`: throughput, latency, backlog, memory and start times."""
