"""Presence: who is on your site right now, over plain HTTP, with Redis holding everything."""

__version__ = "0.1.0"
