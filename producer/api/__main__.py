"""`python -m producer.api`: serve the API until it is stopped."""

import gc

# Collecting garbage while modules are imported finds none, and takes a fifth of the time until the API answers.
gc.disable()

from producer.api.server import main  # noqa: E402

main()
