"""Faults that are provoked for real, on real servers, and what must hold after each of them."""
