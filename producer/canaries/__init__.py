"""Canaries: generated images with known content, scanned like all others, whose verdicts are checked."""
