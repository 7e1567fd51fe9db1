"""Injects faults into a real stack while it scans, and checks that every image gets one verdict."""
