"""An adversary who knows V4: measures how V4 detects many ways to hide, and which evidence it uses."""
