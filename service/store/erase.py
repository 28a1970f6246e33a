"""Erases sessions and users: they end, and nothing that is kept names them any more.

The log of a session that was ever a user's goes as a whole, for what it did says what they did.
Where the session goes on as somebody else's, or as nobody's, the log only says where it is now.
What was counted stays counted.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

import msgspec

from service.errors import StoreBusy
from service.models import Erased
from service.store.event_log import here_after
from service.store.keys import ShardKeys
from service.store.runner import ScriptRunner
from service.store.sweeps import Sweep
from service.store.users import sessions_in

STEP = 500  # entries that are read, or erased, by one call
ENDED_AT_ONCE = 20  # sessions: the row is written anew for each
TRIES = 20  # of somebody who goes on coming, or whose sessions go on moving, while they are erased

Entry = tuple[str, dict[str, str]]
SessionLog = tuple[str, list[Entry]]  # the id, and the entries of one session


class StoreErasure:
    """Erases sessions and users of sites.

    Args:
        end: ends a session of a site that is here; whether there was one.
        sweep: removes some expired sessions of a shard, by its tag.
    """

    def __init__(
        self,
        runner: ScriptRunner,
        end: Callable[[str, str], Awaitable[bool]],
        sweep: Callable[[str], Awaitable[Sweep]],
    ) -> None:
        self._runner = runner
        self._end = end
        self._sweep = sweep

    async def erase_session(self, site: str, session: str) -> Erased:
        """Ends a session and erases all that is kept of it: its hash, its entries in the logs of
        views and events, and the marks of the views it has had, in steps that take Redis a few ms
        each. Returns what there was; where it fails on its way, asking again does the rest.

        Raises:
            StoreError: Redis cannot do it now, or the session goes on coming meanwhile.
        """
        keys = self._runner.keys
        shards = [keys.of_session(site, session), *keys.former_of_session(site, session)]
        ended = views = events = 0
        for _ in range(TRIES):
            ended += await self._end(site, session)
            are_done = []
            for shard in shards:
                while (await self._sweep(shard.tag)).backlog:
                    pass  # one that has expired is still to be written down as gone
                views += await self._erase_views(shard, {session})
                erased, is_done = await self._erase_events(shard, {session})
                events += erased
                are_done.append(is_done)
            if all(are_done):
                return Erased(ended, events, views)
        raise StoreBusy("this session goes on coming while it is erased; try again")

    async def erase_user(self, site: str, user: str) -> Erased:
        """Ends the sessions of a user and erases all that is kept of them, in steps that take Redis
        a few ms each, and returns what there was. Where nothing is kept, nothing is done; where it
        fails on its way, asking again does the rest.

        Raises:
            StoreError: Redis cannot do it now, or the user goes on coming meanwhile.
        """
        ended = views = events = 0
        for shard in self._runner.keys.with_logs(site):
            for _ in range(TRIES):
                here, is_forgotten = await self._forget(shard, user)
                ended += len(here)
                if not is_forgotten:
                    continue
                # Views first: only the log of events says which were theirs.
                sessions = await self._sessions_of(shard, user)
                views += await self._erase_views(shard, sessions | here)
                erased, is_done = await self._erase_events(shard, sessions, user)
                events += erased
                if is_done:
                    break
            else:
                raise StoreBusy("this user goes on coming while they are erased; try again")
        return Erased(ended, events, views)

    async def _forget(self, shard: ShardKeys, user: str) -> tuple[set[str], bool]:
        """Ends a user's sessions and removes their row. Returns the sessions, and whether that was
        all; False: they go on coming."""
        (row,) = await self._runner.commands([("HGET", shard.users, user)])
        sessions = list(dict.fromkeys(session for session, *_ in sessions_in(row or "")))
        args: list[str | int] = [user, *self._runner.user_arguments(shard)]
        is_forgotten = False
        for first in range(0, len(sessions) or 1, ENDED_AT_ONCE):
            keys = [shard.session(id_) for id_ in sessions[first : first + ENDED_AT_ONCE]]
            reply = await self._runner.write("erase_user", shard, keys, args)
            is_forgotten = reply[1] == "forgotten"
        return set(sessions), is_forgotten

    async def _sessions_of(self, shard: ShardKeys, user: str) -> set[str]:
        """The sessions that were ever a user's, as far as the log goes back."""
        return {
            fields["session"]
            async for _, fields in self._entries(shard.events)
            if user in (fields.get("user"), fields.get("was"))
        }

    async def _erase_views(self, shard: ShardKeys, sessions: set[str]) -> int:
        """Erases the page views of these sessions, and what marks them as counted; returns how
        many there were."""
        if not sessions:
            return 0
        erased = 0
        found: list[Entry] = []
        async for entry in self._entries(shard.views):
            if entry[1].get("session") in sessions:
                found.append(entry)
        for first in range(0, len(found), STEP):
            step = found[first : first + STEP]
            marks = {shard.viewed(fields["session"], fields["path"]) for _, fields in step}
            _, count = await self._runner.commands(
                [("UNLINK", *sorted(marks)), ("XDEL", shard.views, *(id_ for id_, _ in step))]
            )
            erased += int(count)
        return erased

    async def _erase_events(
        self, shard: ShardKeys, sessions: set[str], user: str = ""
    ) -> tuple[int, bool]:
        """Erases what the log has of these sessions, because `user` was in them; unless given, for
        themselves. Returns how many entries, and whether nothing has come in between."""
        if not sessions:
            return 0, True
        logs: dict[str, list[Entry]] = {}
        last, erased = "0-0", 0
        async for last, fields in self._entries(shard.events):
            if fields.get("session") in sessions:
                logs.setdefault(fields["session"], []).append((last, fields))
        # A session that never joined may have said goodbye: its hash goes by the same script.
        gone = [(session, list[Entry]()) for session in sessions - logs.keys() if not user]
        for step in _steps([*logs.items(), *gone]):
            joined = [*_joined(step, user)]
            if joined and not user:
                return erased, False  # it is here again
            args = (
                last,
                user,
                " ".join(entry_id for _, entries in step for entry_id, _ in entries),
                msgspec.json.encode(joined).decode(),
            )
            keys = [shard.session(session) for session, _ in step]
            reply = await self._runner.write("erase_events", shard, keys, args)
            if reply[1] == "outdated":
                return erased, False
            erased += sum(len(entries) for _, entries in step)
        return erased, True

    async def _entries(self, stream: str) -> AsyncIterator[Entry]:
        """All entries of a log, read STEP at a time."""
        start = "-"
        while True:
            (entries,) = await self._runner.commands(
                [("XRANGE", stream, start, "+", "COUNT", STEP)]
            )
            for entry in entries:
                yield entry
            if len(entries) < STEP:
                return
            start = f"({entries[-1][0]}"


def _joined(logs: Iterable[SessionLog], user: str) -> Iterator[tuple[str, ...]]:
    """What these logs add up to, as erase_events.lua takes it."""
    for _, entries in logs:
        for member, at in here_after(fields for _, fields in entries).items():
            if not user or member.user != user:  # nobody's session is here as well
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
