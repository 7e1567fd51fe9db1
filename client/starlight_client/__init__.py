"""A client of the API, for programs."""
