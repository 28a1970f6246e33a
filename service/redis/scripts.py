"""Loads `lua/` and runs it: EVALSHA, and EVAL on the same node where it is not known yet."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import NoScriptError, RedisError

from service.redis.cluster import ClusterLane
from service.redis.dedicated_connection import DedicatedConnection

Client = Redis | RedisCluster | DedicatedConnection | ClusterLane
Command = tuple[str | int, ...]
_REPEATS = 3

# In a wheel the scripts travel inside the package, in a checkout they stand beside it.
_HERE = Path(__file__).parents[1]
LUA = next(folder for folder in (_HERE / "lua", _HERE.parent / "lua") if folder.is_dir())
_INCLUDE = re.compile(r"^-- @include (\w+)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """One Lua script: its name, its text and the SHA1 by which Redis knows it."""

    name: str
    text: str
    sha: str


@cache
def load(name: str) -> Script:
    """The script `lua/<name>.lua`, with each `-- @include part` line replaced by
    `lua/include/<part>.lua`, and by nothing where that is there already: a part may name others
    that it needs.

    Raises:
        FileNotFoundError: there is no such script or part.
    """
    included: set[str] = set()

    def part(match: re.Match[str]) -> str:
        if match[1] in included:
            return ""
        included.add(match[1])
        return expanded(LUA / "include" / f"{match[1]}.lua")

    def expanded(path: Path) -> str:
        return _INCLUDE.sub(part, path.read_text(encoding="utf-8"))

    text = expanded(LUA / f"{name}.lua")
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Call(NamedTuple):
    """A script with its KEYS and ARGV. One that is read-only may be answered by a replica."""

    script: Script
    keys: Sequence[str]
    args: Sequence[str | int]
    is_read_only: bool = False

    def evalsha(self) -> Command:
        """The command that names the script."""
        name = "EVALSHA_RO" if self.is_read_only else "EVALSHA"
        return (name, self.script.sha, len(self.keys), *self.keys, *self.args)

    def eval(self) -> Command:
        """The command that carries the script."""
        name = "EVAL_RO" if self.is_read_only else "EVAL"
        return (name, self.script.text, len(self.keys), *self.keys, *self.args)


async def run(client: Client, call: Call) -> Any:
    """The reply of one call.

    Raises:
        RedisError: what Redis or the way to it answered.
    """
    try:
        return await client.execute_command(*call.evalsha())
    except NoScriptError:
        return await client.execute_command(*call.eval())


async def run_many(client: Client, calls: Sequence[Call]) -> list[Any]:
    """The replies of many calls, in order; an error of one call stands for its reply.

    Those of one script that follow one another travel in one pipeline (on a cluster: one for each
    node), so that calls on the same site shard are carried out in order. Those refused because the
    server does not know their script are asked again, in order too; the first then carries it.

    Raises:
        RedisError: the server could not be reached, or broke off.
    """
    if len(calls) == 1:
        return [await _run_kept(client, calls[0])]
    replies: list[Any] = []
    # One script after the other: a call that is asked again must not come after one of another
    # script that stood behind it.
    for _, alike in groupby(calls, key=lambda call: call.script.sha):
        replies += await _run_alike(client, list(alike))
    return replies


async def run_mixed(client: Client, calls: Sequence[Call | Command]) -> list[Any]:
    """The replies of calls and plain commands that only read, sent as one, in order; an error of
    one stands for its reply. Raises as `run_many`."""
    commands = [call.evalsha() if isinstance(call, Call) else call for call in calls]
    replies = await _pipelined(client, commands)
    for n, call in enumerate(calls):
        if isinstance(call, Call) and isinstance(replies[n], NoScriptError):
            replies[n] = await _run_kept(client, call)
    return replies


async def _run_alike(client: Client, calls: list[Call]) -> list[Any]:
    replies = await _pipelined(client, [call.evalsha() for call in calls])
    for _ in range(_REPEATS):
        unknown = [n for n, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if not unknown:
            return replies
        first = {calls[n].script.sha: n for n in reversed(unknown)}
        again = await _pipelined(
            client,
            [
                calls[n].eval() if first[calls[n].script.sha] == n else calls[n].evalsha()
                for n in unknown
            ],
        )
        for n, reply in zip(unknown, again, strict=True):
            replies[n] = reply
    # Somebody flushes scripts faster than pipelines end: each carries its own.
    for n, reply in enumerate(replies):
        if isinstance(reply, NoScriptError):
            replies[n] = await _run_kept(client, calls[n])
    return replies


async def _pipelined(client: Client, commands: Sequence[Command]) -> list[Any]:
    if isinstance(client, (DedicatedConnection, ClusterLane)):
        return await client.replies(commands)
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    return list(await pipeline.execute(raise_on_error=False))


async def _run_kept(client: Client, call: Call) -> Any:
    try:
        return await run(client, call)
    except RedisError as error:
        return error
