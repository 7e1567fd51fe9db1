"""Hours of mixed load: measures growth and slowdown, and audits the results at the end."""
