"""An adversary who knows V4: ways to hide from it, how many of them it finds, and what its answers rest on."""
