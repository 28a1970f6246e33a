"""Heartbeats that wait for each other and travel in one call."""
