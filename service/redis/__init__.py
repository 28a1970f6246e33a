"""The connection to Redis, whatever its topology, and the scripts that run there."""
