"""Presence in Redis: what is written, what is read, and the batches in between."""
