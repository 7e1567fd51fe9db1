"""Measuring V4: detection, false positives with their intervals, calibration."""
