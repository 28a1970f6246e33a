"""The least an ASGI server can be asked to do."""
