"""Images inscribed in Bitcoin's chain: clients of nodes, and reading the witnesses of blocks and transactions."""
