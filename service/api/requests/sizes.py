"""How long a body may be, and how many heartbeats a batch may have."""

MAX_BODY_BYTES = 2 * 1024
MAX_TOKEN_BODY_BYTES = 8 * 1024  # of a heartbeat that tells by a token who it is
MAX_BATCH = 1000
