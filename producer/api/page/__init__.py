"""The page at `/`: what a key may see and do, for people with a browser."""
