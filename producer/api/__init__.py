"""The HTTP API, with the web page and Stargate's routes."""
