"""Whether the Redis user may do what the scripts do, asked before one is broken off halfway."""

import functools
import re
from typing import Any

from service.redis.scripts import LUA, load

# Redis 6.2 cannot be asked. A key in each place where a command may have one.
_ASK = """\
for _, command in ipairs(redis.acl_check_cmd and ARGV or {}) do
  if not redis.acl_check_cmd(command, KEYS[1], KEYS[1], KEYS[1], KEYS[1]) then
    return redis.error_reply('NOPERM this user may not run ' .. command)
  end
end
"""


@functools.cache
def commands_of_scripts() -> tuple[str, ...]:
    """The commands that scripts call, in order."""
    texts = (load(path.stem).text for path in LUA.glob("*.lua"))
    called = {name for text in texts for name in re.findall(r"\bredis\.p?call\('(\w+)'", text)}
    return tuple(sorted(called))


async def check_permissions(client: Any, key: str) -> None:
    """Returns where all of them are permitted; `key` is one of the service's own.

    Raises:
        RedisError: one is not (NOPERM), or Redis cannot be asked.
    """
    await client.execute_command("EVAL", _ASK, 1, key, *commands_of_scripts())
