"""`starlight top`: what is seen, where it comes from, and which key does what."""
