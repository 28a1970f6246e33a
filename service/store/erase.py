"""Erases a user: their sessions end, and nothing that is kept names them any more.

The log of a session that was ever theirs goes as a whole, for what it did says what they did. Where
the session goes on as somebody else's, or as nobody's, the log only says where it is now.
"""

from collections.abc import AsyncIterator, Iterable, Iterator

import msgspec

from service.errors import StoreBusy
from service.store.event_log import here_after
from service.store.keys import ShardKeys
from service.store.runner import ScriptRunner
from service.store.users import sessions_in

STEP = 500  # entries that are read, or erased, by one call
ENDED_AT_ONCE = 20  # sessions: the row is written anew for each
TRIES = 20  # of a user who goes on coming, or whose sessions go on moving, while they are erased

Entry = tuple[str, dict[str, str]]
SessionLog = tuple[str, list[Entry]]  # the id, and the entries of one session


class StoreErasure:
    """Erases users of sites."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    async def erase_user(self, site: str, user: str) -> None:
        """Ends the sessions of a user and erases all that is kept of them, in steps that take Redis
        a few ms each. Where nothing is kept, nothing is done; where it fails on its way, asking
        again does the rest.

        Raises:
            StoreError: Redis cannot do it now, or the user goes on coming meanwhile.
        """
        for shard in self._runner.keys.of_site(site):
            for _ in range(TRIES):
                if await self._forget(shard, user) and await self._erase_events(shard, user):
                    break
            else:
                raise StoreBusy("this user goes on coming while they are erased; try again")

    async def _forget(self, shard: ShardKeys, user: str) -> bool:
        """Ends their sessions and removes their row; False: they go on coming."""
        (row,) = await self._runner.commands([("HGET", shard.users, user)])
        sessions = list(dict.fromkeys(session for session, *_ in sessions_in(row or "")))
        args: list[str | int] = [user, *self._runner.for_users(shard)]
        is_forgotten = False
        for first in range(0, len(sessions) or 1, ENDED_AT_ONCE):
            keys = [shard.session(id_) for id_ in sessions[first : first + ENDED_AT_ONCE]]
            reply = await self._runner.write("erase_user", shard, keys, args)
            is_forgotten = reply[1] == "forgotten"
        return is_forgotten

    async def _erase_events(self, shard: ShardKeys, user: str) -> bool:
        """Erases what the log has of them; whether nothing has come in between."""
        sessions = {
            fields["session"]
            async for _, fields in self._events(shard)
            if user in (fields.get("user"), fields.get("was"))
        }
        if not sessions:
            return True
        logs: dict[str, list[Entry]] = {}
        last = "0-0"
        async for last, fields in self._events(shard):
            if fields.get("session") in sessions:
                logs.setdefault(fields["session"], []).append((last, fields))
        for step in _steps(logs.items()):
            args = (
                last,
                user,
                " ".join(entry_id for _, entries in step for entry_id, _ in entries),
                msgspec.json.encode([*_joined(step, user)]).decode(),
            )
            keys = [shard.session(session) for session, _ in step]
            reply = await self._runner.write("erase_events", shard, keys, args)
            if reply[1] == "outdated":
                return False
        return True

    async def _events(self, shard: ShardKeys) -> AsyncIterator[Entry]:
        start = "-"
        while True:
            command = ("XRANGE", shard.events, start, "+", "COUNT", STEP)
            (entries,) = await self._runner.commands([command])
            for entry in entries:
                yield entry
            if len(entries) < STEP:
                return
            start = f"({entries[-1][0]}"


def _joined(logs: Iterable[SessionLog], user: str) -> Iterator[tuple[str, ...]]:
    """What these logs add up to, as erase_events.lua takes it."""
    for _, entries in logs:
        for member, at in here_after(fields for _, fields in entries).items():
            if member.user != user:
                known = ("user", member.user) if member.user else ()
                yield (member.session, member.path, at, "country", member.country, *known)


def _steps(logs: Iterable[SessionLog]) -> Iterator[list[SessionLog]]:
    """The logs, as many at a time as have STEP entries together, one at least."""
    step: list[SessionLog] = []
    room = STEP
    for log in logs:
        if step and len(log[1]) > room:
            yield step
            step, room = [], STEP
        step.append(log)
        room -= len(log[1])
    if step:
        yield step
