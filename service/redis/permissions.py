"""Whether the Redis user may do what the scripts do, asked before one is broken off halfway."""

import functools
import re
from typing import Any

from service.errors import StoreRefused
from service.redis.scripts import LUA, load

# Redis 6.2 cannot be asked. A key in each place where a command may have one.
_ASK = """\
for _, command in ipairs(redis.acl_check_cmd and ARGV or {}) do
  if not redis.acl_check_cmd(command, KEYS[1], KEYS[1], KEYS[1], KEYS[1]) then
    return command
  end
end
if redis.acl_check_cmd and not redis.acl_check_cmd('EVALSHA', 'of a script', '0') then
  return 'EVALSHA'
end
"""
_BESIDE_SCRIPTS = {"HGETALL", "PFCOUNT", "PFMERGE", "UNLINK"}


@functools.cache
def _commands() -> tuple[str, ...]:
    """The commands that are called, in order."""
    texts = (load(path.stem).text for path in LUA.glob("*.lua"))
    called = {name for text in texts for name in re.findall(r"\bredis\.p?call\('(\w+)'", text)}
    return tuple(sorted(called | _BESIDE_SCRIPTS))


async def check_permissions(client: Any, key: str) -> None:
    """Returns where all of them are permitted, of a cluster by the node that holds `key`, which is
    one of the service's own.

    Raises:
        StoreRefused: one is not.
        RedisError: Redis cannot be asked.
    """
    if missing := await client.execute_command("EVAL", _ASK, 1, key, *_commands()):
        raise StoreRefused(
            f"Redis does not permit {missing}, which is needed: see deploy/redis.acl"
        )
