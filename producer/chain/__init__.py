"""Inscriptions from Bitcoin's chain: nodes that know blocks and transactions, and the images in their witnesses."""
