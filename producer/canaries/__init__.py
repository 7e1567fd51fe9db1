"""Canaries: images whose truth we know, drawn, sent on the way of all others, and compared with what comes back."""
