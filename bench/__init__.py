"""Measurements: what the service costs, and what the same costs written otherwise."""
