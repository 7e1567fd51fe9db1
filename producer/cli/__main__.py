"""`starlight`, or `python -m producer.cli`: run the command."""

import gc

# Collecting garbage while modules are imported finds none, and takes a fifth of the time.
gc.disable()

from producer.cli.command import main  # noqa: E402

if __name__ == "__main__":
    main()
