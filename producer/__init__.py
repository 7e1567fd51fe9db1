"""Where jobs come from: sources, submission, the dispatcher and the `starlight` command."""
