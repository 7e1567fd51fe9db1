"""`python -m producer.cli`: run the command."""

from producer.cli import main

main()
