"""From bytes to the app: uvicorn's server and protocol, timeouts, draining."""
