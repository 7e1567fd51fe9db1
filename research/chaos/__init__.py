"""Breaking a real stack in every way that hosts and people do, and counting what became of the images."""
