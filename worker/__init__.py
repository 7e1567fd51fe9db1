"""Workers: one process per device that claims chunks, scans their images with V4 and stores the verdicts."""
