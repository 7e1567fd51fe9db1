"""Measures V4: detection, false positives with confidence intervals, calibration."""
