"""Attacks by strangers and customers: each has limits of its costs, which are measured from outside the process."""
