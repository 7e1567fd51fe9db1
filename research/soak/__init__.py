"""Hours of mixed load: what grows, what gets slower, and whether everything is accounted for at the end."""
