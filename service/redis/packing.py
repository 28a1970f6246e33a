"""Script calls packed in C.

redis-py's asyncio connections pack commands in Python, argument by argument; for the hundred and
more arguments of a heartbeat batch that takes longer than the script itself. hiredis, which
parses the replies already, packs as well.
"""

from typing import Any, TypeVar

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection

_SCRIPT_CALLS = frozenset(("EVALSHA", "EVAL"))
C = TypeVar("C", bound=AbstractConnection)


class HiredisPacking(AbstractConnection):
    """Put before a connection class. Only script calls: their name is one word and their
    arguments are texts and whole numbers, which both packers write alike."""

    def pack_command(self, *args: Any) -> list[bytes]:
        if args[0] in _SCRIPT_CALLS:
            return [pack_command(args)]
        return super().pack_command(*args)


def with_hiredis_packing(connection_class: type[C]) -> type[C]:
    """The connection class, packing script calls in C."""
    return type(f"Packing{connection_class.__name__}", (HiredisPacking, connection_class), {})
