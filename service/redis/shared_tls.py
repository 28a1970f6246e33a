"""The TLS context that connections share: redis-py makes one for each."""

import os
import ssl
from functools import lru_cache
from typing import Any

from redis.asyncio.connection import RedisSSLContext

_OPTIONS = [name for name in RedisSSLContext.__slots__ if name != "context"]


def shared(tls: RedisSSLContext) -> RedisSSLContext:
    """One for all connections with the same options, until one of their files is another: to read
    the certificates that the system trusts takes 20 ms, in which a copy does nothing else."""
    values = (getattr(tls, name) for name in _OPTIONS)
    options = tuple(tuple(value) if isinstance(value, list) else value for value in values)
    system = ssl.get_default_verify_paths().cafile  # SSL_CERT_FILE names another one
    return _shared(options, tuple(map(_version, (system, tls.ca_certs, tls.certfile, tls.keyfile))))


@lru_cache(maxsize=8)
def _shared(options: tuple[Any, ...], _versions: tuple[Any, ...]) -> RedisSSLContext:
    return RedisSSLContext(**dict(zip(_OPTIONS, options, strict=True)))


def _version(path: str | None) -> tuple[int, int] | None:
    """Another one for another file; none where there is no file, of which OpenSSL is to tell."""
    try:
        found = os.stat(path) if path else None
    except (OSError, ValueError):
        return None
    return (found.st_ino, found.st_mtime_ns) if found else None
