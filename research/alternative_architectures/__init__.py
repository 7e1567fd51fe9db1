"""Compares V4 with other approaches to find hidden messages, on the same images."""
