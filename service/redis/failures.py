"""Names Redis's failures: a kind each, for metrics, and a message for the caller.

Nothing of an error's own message goes out: it may carry addresses and credentials.
"""

import asyncio

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    InvalidResponse,
    MaxConnectionsError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)

from service.errors import StoreError, StoreRefused, StoreUnreachable, WrongTypeError

FAILURES = (RedisError, RedisClusterException, OSError, asyncio.TimeoutError)


class NotTrusted(ConnectionError):
    """One end does not trust the other's certificate."""


class WrongProtocol(ConnectionError):
    """Something is there, but we do not understand each other. `kind`: why, as in
    `_UNREACHABLE`."""

    kind = "not_redis"


class NotRedis(WrongProtocol):
    """It answers, but not as Redis does."""


class SpeaksTls(WrongProtocol):
    """It speaks TLS, and was spoken to in plain text."""

    kind = "speaks_tls"


class SpeaksPlain(WrongProtocol):
    """It is Redis in plain text, and was spoken to over TLS."""

    kind = "speaks_plain"


class NoCommonTls(WrongProtocol):
    """Both speak TLS, but no version or no cipher of it is common to both."""

    kind = "no_common_tls"


class WrongTopology(ResponseError):
    """Redis is not what the URL says it is. `kind`: what it is instead, as in `_REFUSED`."""

    def __init__(self, kind: str) -> None:
        super().__init__(_REFUSED[kind])
        self.kind = kind


_UNREACHABLE = {
    "untrusted": "Redis is not trusted, or does not trust us: see ssl_ca_certs, ssl_certfile and "
    "ssl_check_hostname of the URL",
    "not_redis": "wrong protocol: what answers there is not Redis",
    "speaks_tls": "wrong protocol: that port speaks TLS: use rediss:// or ssl=true",
    "speaks_plain": "wrong protocol: Redis does not speak TLS on that port: use redis:// or "
    "ssl=false, or its port for TLS",
    "no_common_tls": "wrong protocol: no version or cipher of TLS is common to Redis and us: see "
    "ssl_min_version and ssl_ciphers of the URL",
    "timeout": "Redis does not answer in time",
    "connection": "Redis cannot be reached",
    "pool": "all connections to Redis are in use",
}
_REFUSED = {
    "OOM": "Redis is out of memory",
    "READONLY": "Redis is a replica and takes no writes",
    "LOADING": "Redis is loading its data",
    "MISCONF": "Redis cannot persist and takes no writes",
    "BUSY": "Redis is busy in a script",
    "AUTH": "Redis refuses our credentials",
    "NOPERM": "Redis does not permit a command that is needed",
    "MASTERDOWN": "Redis is a replica that has lost its primary",
    "CROSSSLOT": "this is a cluster: use redis+cluster://",
    "cluster": "this is a cluster: use redis+cluster://",
    "sentinel": "this is a Sentinel: use redis+sentinel://host:port/name",
    "no_cluster": "this is not a cluster: use redis://",
    "no_sentinel": "this is not a Sentinel: use redis:// or redis+cluster://",
    "no_database": "Redis has no database of that number",
    "TRYAGAIN": "a slot of the Redis cluster is being moved",
    "CLUSTERDOWN": "a part of the Redis cluster is down",
    "WRONGTYPE": "a key of this site has the wrong type: run presence doctor",
}
# Errors that have no first word of their own.
_TOLD_BY = {
    "DB index is out of range": "no_database",
    "SELECT is not allowed in cluster mode": "cluster",
    "cluster support disabled": "no_cluster",
    "unknown command 'SENTINEL'": "no_sentinel",
    "The user executing the script can't": "NOPERM",  # Redis 7.0
    "ACL failure in script": "NOPERM",  # later ones, and Valkey
}
_TOLD_OF_NODES = (
    "untrusted", "not_redis", "speaks_tls", "speaks_plain", "no_common_tls",
    "AUTH", "NOPERM", "LOADING", "no_cluster",
)  # fmt: skip


def kind_of(error: BaseException) -> str:
    """The kind of a failure, without anything of its message that could be secret."""
    if isinstance(error, MaxConnectionsError):
        return "pool"
    if isinstance(error, WrongTopology):
        return error.kind
    if isinstance(error, NotTrusted):
        return "untrusted"
    if isinstance(error, WrongProtocol):
        return error.kind
    if isinstance(error, InvalidResponse):
        return NotRedis.kind
    if isinstance(error, AskError):  # MOVED is one, too; a cluster's client follows them
        return "cluster"
    if isinstance(error, TryAgainError):
        return "TRYAGAIN"
    if isinstance(error, AuthenticationError):
        return "AUTH"
    if isinstance(error, BusyLoadingError):
        return "LOADING"
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return "timeout"
    text = str(error)
    if isinstance(error, ResponseError):
        for words, kind in _TOLD_BY.items():
            if words in text:
                return kind
        # redis-py takes the first word off the text of errors that it has a class for.
        if error.status_code in _REFUSED:
            return str(error.status_code)
        # A script's error carries the first word of the cause somewhere in its text.
        for word in _REFUSED:
            if word in text:
                return word
        if "out of memory" in text or "maxmemory" in text:
            return "OOM"
        first = text.partition(" ")[0]
        return first if first.isupper() and first.isalpha() else "error"
    if isinstance(error, RedisClusterException):
        return _kind_of_all_nodes(error)
    if isinstance(error, (ConnectionError, OSError)):
        return "pool" if "No connection available" in text else "connection"
    return type(error).__name__


def _kind_of_all_nodes(error: BaseException) -> str:
    """What the node that was asked last for the slots has answered, where that is worth telling."""
    cause: BaseException | None = error
    while cause is not None:
        if not isinstance(cause, RedisClusterException):
            kind = kind_of(cause)
            return kind if kind in _TOLD_OF_NODES else "connection"
        cause = cause.__cause__ or cause.__context__
    return "connection"


def as_store_error(kind: str) -> StoreError:
    """The error that a caller is given for a kind of failure."""
    if kind in _UNREACHABLE:
        return StoreUnreachable(_UNREACHABLE[kind])
    if kind == "WRONGTYPE":
        return WrongTypeError(_REFUSED[kind])
    return StoreRefused(_REFUSED.get(kind, f"Redis answers {kind}"))
