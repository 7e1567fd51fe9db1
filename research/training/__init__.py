"""Trains V4 from a folder of clean images and a seed."""
