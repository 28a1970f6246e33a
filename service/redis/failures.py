"""What Redis's failures are called: a word each, for metrics, and a message for the caller.

Nothing of an error's own message goes out: it may carry addresses and credentials.
"""

import asyncio

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    MaxConnectionsError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,
)

from service.errors import StoreError, StoreRefused, StoreUnreachable, WrongTypeError

FAILURES = (RedisError, RedisClusterException, OSError, asyncio.TimeoutError)

_UNREACHABLE = {
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
    "CROSSSLOT": "Redis is a cluster and was taken for one server; now it is known",
    "CLUSTERDOWN": "a part of the Redis cluster is down",
    "WRONGTYPE": "a key of this site has the wrong type: run presence doctor",
}


def kind_of(error: BaseException) -> str:
    """A word for a failure, without anything of its message that could be secret."""
    if isinstance(error, MaxConnectionsError):
        return "pool"
    if isinstance(error, AuthenticationError):
        return "AUTH"
    if isinstance(error, BusyLoadingError):
        return "LOADING"
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return "timeout"
    text = str(error)
    if isinstance(error, ResponseError):
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
    if isinstance(error, (ConnectionError, RedisClusterException, OSError)):
        return "pool" if "No connection available" in text else "connection"
    return type(error).__name__


def as_store_error(kind: str) -> StoreError:
    """The error that a caller is given for a kind of failure."""
    if kind in _UNREACHABLE:
        return StoreUnreachable(_UNREACHABLE[kind])
    if kind == "WRONGTYPE":
        return WrongTypeError(_REFUSED[kind])
    return StoreRefused(_REFUSED.get(kind, f"Redis answers {kind}"))
