"""The dispatcher process: dispatching chunks, and background work such as webhooks, exports and retention."""
