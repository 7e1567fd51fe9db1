"""The web page at `/`, with which people use the API in a browser."""
