"""Three ways to find hidden messages that are nothing like V4, measured beside it on the same images."""
