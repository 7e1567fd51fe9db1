"""`starlight top`: its view, data sources and keys."""
