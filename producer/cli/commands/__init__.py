"""The subcommands, one module per subject."""
