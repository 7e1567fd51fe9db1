"""What `starlight doctor` looks at: the machine, the servers, the installation, and one image on its whole way."""
