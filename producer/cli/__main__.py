"""`python -m producer.cli`: the command without its entry point."""

from producer.cli import main

main()
