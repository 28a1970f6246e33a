"""Connections of redis-py that pack script calls in C."""

from typing import Any, TypeVar

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection

C = TypeVar("C", bound=AbstractConnection)
_SCRIPT_CALLS = frozenset(("EVALSHA", "EVAL", "EVALSHA_RO", "EVAL_RO"))


class HiredisPacking(AbstractConnection):
    """A mixin that packs script calls in C. redis-py packs argument by argument in Python, which
    takes longer than the script itself. Other commands are left to redis-py: their names may be
    two words and their arguments of types that hiredis packs differently."""

    def pack_command(self, *args: Any) -> list[bytes]:
        if args[0] in _SCRIPT_CALLS:
            return [pack_command(args)]
        return super().pack_command(*args)


def with_hiredis_packing(connection_class: type[C]) -> type[C]:
    """The connection class, packing script calls in C."""
    return type(f"Packing{connection_class.__name__}", (HiredisPacking, connection_class), {})
