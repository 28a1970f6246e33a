"""Reads who is here: users, each once, however many sessions of theirs live in however many shards.

A shard knows the sessions that live in it. What two shards know of one user is merged here, so that
every answer is the same as that of a site which is not split. Of those who are here only sessions
count whose time has not come: whether they are swept already makes no difference.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil
from typing import Any, NamedTuple

from service import models
from service.store.keys import ShardKeys
from service.store.members import Member
from service.store.paging import read_user_cursor, write_user_cursor
from service.store.runner import ScriptRunner
from service.store.user_counts import UserCounts

TRIES = 3  # to read sessions that move while they are read


class UserState(NamedTuple):
    """What is known of a user; of one who is not here `sessions` is 0. `told`: when name and avatar
    were, 0: never. Moments in ms."""

    told: int
    name: str
    avatar: str
    seen: int
    sessions: int = 0
    since: int = 0
    paths: frozenset[str] = frozenset()

    def merged(self, other: "UserState") -> "UserState":
        """What two shards know of one user. The name and the picture told last hold."""
        told, name, avatar = max(self[:3], other[:3], key=lambda told: told[0])
        return UserState(
            told,
            name,
            avatar,
            max(self.seen, other.seen),
            self.sessions + other.sessions,
            min((row.since for row in (self, other) if row.sessions), default=0),
            self.paths | other.paths,
        )

    def row(self, user_id: str) -> models.UserRow:
        """As it is answered of one who is here."""
        return models.UserRow(
            user_id,
            self.name or None,
            self.avatar or None,
            self.since,
            self.seen,
            self.sessions,
            in_order(self.paths),
        )


class StoreUsers:
    """Reads the users of a site."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner
        self._counts = UserCounts(runner)

    async def users(
        self, site: str, *, limit: int, cursor: str | None, path: str | None
    ) -> models.UserPage:
        """Users who are here, or on a page, by page and then by id; in the list of all pages a user
        stands where the first of theirs does. One who moves while pages are read may be on two of
        them, or on none.

        Raises:
            RequestError: 422, the cursor was not given by an earlier answer.
            StoreError: Redis cannot tell now.
        """
        position = read_user_cursor(cursor) if cursor else ""
        # Whoever may ask for this page alone is not shown another one, whatever the cursor names.
        if path and position.encode() < f"{path}\t".encode():
            position = ""
        shards = self._runner.keys.with_sessions(site)
        found: list[models.UserRow] = []
        async with self._runner.failures():
            while True:
                args = (path or "", position, limit)
                replies = await self._read("users", shards, lambda n, args=args: args)  # type: ignore[misc]
                user_pages, has_more = _first_user_pages(replies, limit)
                states = await self._states_of(site, replies, user_pages)
                for position in user_pages:
                    page, _, user = position.partition("\t")
                    state = states.get(user)
                    if state and page in (state.paths if path else in_order(state.paths)[:1]):
                        found.append(state.row(user))
                        if len(found) == limit:
                            has_more = has_more or position != user_pages[-1]
                            break
                if not has_more or len(found) == limit:
                    break
            total = int(replies[0][2]) if len(shards) == 1 else await self.count_users(site, path)
        next_cursor = write_user_cursor(position) if has_more else None
        return models.UserPage(found, total, next_cursor, min(int(reply[0]) for reply in replies))

    async def _states_of(
        self, site: str, replies: list[list[Any]], user_pages: list[str]
    ) -> dict[str, UserState]:
        if len(self._runner.keys.with_logs(site)) > 1:  # other shards may know more of them
            return await self.states(
                site, [user_page.partition("\t")[2] for user_page in user_pages]
            )
        ((now, _, _, listed, rows, scores),) = replies
        moments = map(float, scores)
        return {
            user_page.partition("\t")[2]: _state_of(row, int(now), moments, self._timeout_ms)
            for user_page, row in zip(listed, rows, strict=True)
            if row
        }

    @property
    def _timeout_ms(self) -> int:
        return self._runner.config.session_timeout_ms

    async def states(self, site: str, users: Sequence[str]) -> dict[str, UserState]:
        """What is known of these users; who is unknown is not in it. Raises StoreError."""
        states, _ = await self._states(site, users)
        return states

    async def _states(self, site: str, users: Sequence[str]) -> tuple[dict[str, UserState], int]:
        """Also the moment. Two commands a shard; users of whom a session moved between the two are
        looked at again."""
        shards, wanted = self._runner.keys.with_logs(site), list(dict.fromkeys(users))
        states: dict[str, UserState] = {}
        moments: list[int] = []
        async with self._runner.failures():
            for _ in range(TRIES):
                found, moved, now_ms = await self._look(shards, wanted)
                states = {user: known for user, known in states.items() if user not in wanted}
                states |= found
                moments.append(now_ms)
                wanted = list(moved)
                if not wanted:
                    break
        return states, min(moments)

    async def _look(
        self, shards: list[ShardKeys], users: list[str]
    ) -> tuple[dict[str, UserState], set[str], int]:
        """What is known of users, those of whom a session is not where it says, and the moment."""
        lists: list[list[str | None]] = [[] for _ in shards]
        if users:
            lists = await self._runner.look(("HMGET", keys.users, *users) for keys in shards)
        members = [list(_members(users, rows)) for rows in lists]
        # Plain commands: a script takes as long again to hand 500 scores on.
        asked = [
            ("ZMSCORE", keys.active, *map(str, named))
            for keys, named in zip(shards, members, strict=True)
            if named
        ]
        # Nobody is here: unless this shard is retired, in which case the command fails.
        found, now_ms = await self._runner.look_as_of(asked or [("ZCARD", shards[-1].active)])
        replies = iter(found)
        states: dict[str, UserState] = {}
        moved: set[str] = set()
        for rows, named in zip(lists, members, strict=True):
            scores = next(replies) if named else []
            moved |= {m.user for m, score in zip(named, scores, strict=True) if score is None}
            moments = (float(score or 0) for score in scores)
            for user, row in zip(users, rows, strict=True):
                if row:
                    state = _state_of(row, now_ms, moments, self._timeout_ms)
                    states[user] = states[user].merged(state) if user in states else state
        return states, moved, now_ms

    async def statuses(self, site: str, users: Sequence[str]) -> models.UserStatuses:
        """Whether these users are here, in order. Raises StoreError."""
        states, now_ms = await self._states(site, users)

        def status_of(user: str) -> models.UserStatus:
            state = states.get(user)
            if state is None:
                return models.UserStatus(user, False, None)
            return models.UserStatus(user, state.sessions > 0, state.seen)

        return models.UserStatuses([status_of(user) for user in users], now_ms)

    async def user(self, site: str, user: str) -> models.UserDetails | None:
        """What is known of one user; None: nothing. Raises StoreError."""
        states, now_ms = await self._states(site, [user])
        if (state := states.get(user)) is None:
            return None
        return models.UserDetails(
            user,
            state.name or None,
            state.avatar or None,
            state.sessions > 0,
            state.since or None,
            state.seen,
            state.sessions,
            in_order(state.paths),
            now_ms,
        )

    async def count_users(self, site: str, path: str | None = None) -> int:
        """How many users are here, or on a page. Raises StoreError."""
        shards = self._runner.keys.with_sessions(site)
        if len(shards) > 1:
            return await self._counts.count(site, path)
        ((_, _, total, *_),) = await self._read("users", shards, lambda n: (path or "", "", 0))
        return int(total)

    async def _read(
        self, script: str, shards: list[ShardKeys], args_of: Callable[[int], Sequence[str | int]]
    ) -> list[list[Any]]:
        return [reply for (reply,) in await self._runner.read(script, shards, args_of)]


def in_order(paths: Iterable[str]) -> list[str]:
    """Paths as Redis orders them, by their bytes."""
    return sorted(paths, key=str.encode)


def _first_user_pages(replies: list[list[Any]], limit: int) -> tuple[list[str], bool]:
    """The first entries of `user_pages` of all shards, in order, and whether there may be more."""
    user_pages = in_order({user_page for reply in replies for user_page in reply[3]})
    # A shard that has listed as many as it was asked for may have more behind its last.
    stops = [reply[3][-1].encode() for reply in replies if len(reply[3]) == limit]
    known = [
        user_page for user_page in user_pages if all(user_page.encode() <= stop for stop in stops)
    ]
    return known[:limit], bool(stops) or len(known) > limit


def sessions_in(row: str) -> list[list[str]]:
    """Id, since, country and path of each session in a row of `users` (lua/include/keys.lua)."""
    return [session.split(" ", 3) for session in row.split("\t")[4:]]


def _members(users: Sequence[str], rows: Sequence[str | None]) -> Iterator[Member]:
    """The members of the sessions in rows."""
    for user, row in zip(users, rows, strict=True):
        for session, _, country, path in sessions_in(row or ""):
            yield Member(session, country, path, user)


def _state_of(row: str, now_ms: int, scores: Iterator[float], timeout_ms: int) -> UserState:
    """What a row says; the scores of its sessions are taken from `scores`."""
    seen, told, name, avatar, *_ = row.split("\t")
    last, here = int(seen or 0), []
    for _, since, _, path in sessions_in(row):
        score = next(scores)
        if score > now_ms:
            here.append((int(since), path))
        # Who has said goodbye, so that the score ends in .5, is seen until gone.
        last = max(last, int(score) - timeout_ms if score % 1 == 0 else min(now_ms, ceil(score)))
    last = min(last, now_ms)  # nothing was seen in the future: the clock was set back
    return UserState(
        int(told or 0),
        name,
        avatar,
        last,
        len(here),
        min(last, min(since for since, _ in here)) if here else 0,
        frozenset(path for _, path in here),
    )
