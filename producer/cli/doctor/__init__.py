"""The checks of `starlight doctor`: the machine, the servers, the installation, and the scan of one image."""
