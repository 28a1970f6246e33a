"""Reads who is here: users, each once, however many sessions of theirs live in however many shards.

A shard knows the sessions that live in it. What two shards know of one user is merged here, so that
every answer is the same as that of a site which is not split.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from service import models
from service.store.keys import ShardKeys
from service.store.paging import read_user_cursor, write_user_cursor
from service.store.runner import ScriptRunner


class UserState(NamedTuple):
    """What is known of a user; of one who is not here `sessions` is 0. `told`: when name and avatar
    were, ms; empty: never. Moments in ms."""

    told: str
    name: str
    avatar: str
    seen: int
    sessions: int
    since: int
    paths: tuple[str, ...]

    @classmethod
    def of(cls, row: list[Any]) -> "UserState":
        """Reads a row of users.lua."""
        told, name, avatar, seen, sessions, since, paths = row
        return cls(
            told,
            name,
            avatar,
            int(seen),
            int(sessions),
            int(since),
            tuple(sorted(paths, key=_bytes)),
        )

    def and_in(self, other: "UserState") -> "UserState":
        """What two shards know of one user. The name and the picture told last hold."""
        here = [row for row in (self, other) if row.sessions] or [self]
        told, name, avatar = max(self[:3], other[:3], key=lambda row: int(row[0] or 0))
        return UserState(
            told,
            name,
            avatar,
            max(self.seen, other.seen),
            self.sessions + other.sessions,
            min(row.since for row in here),
            tuple(sorted({*self.paths, *other.paths}, key=_bytes)),
        )

    def row(self, user_id: str) -> models.UserRow:
        """As it is answered."""
        return models.UserRow(
            user_id,
            self.name or None,
            self.avatar or None,
            self.since,
            self.seen,
            self.sessions,
            list(self.paths),
        )


class StoreUsers:
    """Reads the users of a site."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    async def users(
        self, site: str, *, limit: int, cursor: str | None, path: str | None
    ) -> models.UserPage:
        """Users who are here, or on a page, by page and then by id. One who moves while pages are
        read may be in two of them, or in none.

        Raises:
            RequestError: 422, the cursor was not given by an earlier answer.
            StoreError: Redis cannot tell now.
        """
        position = read_user_cursor(cursor) if cursor else ""
        async with self._runner.failures():
            shards = self._runner.keys.of_site(site)
            args = (path or "", position, limit)
            replies = await self._read("users", shards, args)
            if len(shards) == 1:
                (reply,) = replies
                found = [(place, UserState.of(row)) for place, row in _pairs(reply[4:])]
                total, last = int(reply[2]), reply[3]
            else:
                found, last = await self._merged(site, replies, path, limit)
                total = len(await self._ids(shards, path))
        return models.UserPage(
            [state.row(_user_in(place)) for place, state in found],
            total,
            write_user_cursor(last) if last else None,
            min(int(reply[0]) for reply in replies),
        )

    async def _merged(
        self, site: str, replies: list[list[Any]], path: str | None, limit: int
    ) -> tuple[list[tuple[str, UserState]], str]:
        """The first users of all shards, and where the list goes on; empty: nowhere."""
        # Beyond the place where a shard has stopped it may have more.
        stops = [_bytes(reply[3]) for reply in replies if reply[3]]
        stop = min(stops, default=None)
        places = sorted({place for reply in replies for place in reply[4::2]}, key=_bytes)
        places = [place for place in places if stop is None or _bytes(place) <= stop]
        states = await self.states(site, [_user_in(place) for place in places])
        found: list[tuple[str, UserState]] = []
        for place in places:
            state = states.get(_user_in(place))
            page = place.partition("\t")[0]
            if state is None or page not in state.paths or (not path and page != state.paths[0]):
                continue
            if len(found) == limit:
                return found, found[-1][0]
            found.append((place, state))
        return found, "" if stop is None else stop.decode()

    async def states(self, site: str, users: Sequence[str]) -> dict[str, UserState]:
        """What is known of these users; who is unknown is not in it. Raises StoreError."""
        states, _ = await self._states(site, list(dict.fromkeys(users)))
        return states

    async def _states(self, site: str, users: list[str]) -> tuple[dict[str, UserState], int]:
        replies = await self._read("user_status", self._runner.keys.of_site(site), users)
        states: dict[str, UserState] = {}
        for user, rows in zip(
            users, zip(*(reply[2:] for reply in replies), strict=True), strict=True
        ):
            for row in filter(None, rows):
                state = UserState.of(row)
                states[user] = states[user].and_in(state) if user in states else state
        return states, min(int(reply[0]) for reply in replies)

    async def statuses(self, site: str, users: Sequence[str]) -> models.UserStatuses:
        """Whether these users are here, in order. Raises StoreError."""
        states, now_ms = await self._states(site, list(dict.fromkeys(users)))

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
            state.since if state.sessions else None,
            state.seen,
            state.sessions,
            list(state.paths),
            now_ms,
        )

    async def count_users(self, site: str, path: str | None = None) -> int:
        """How many users are here, or on a page. Members are loaded only where a site is split, for
        each user counts once. Raises StoreError."""
        shards = self._runner.keys.of_site(site)
        if len(shards) > 1:
            return len(await self._ids(shards, path))
        ((reply),) = await self._read("users", shards, (path or "", "", 0))
        return int(reply[2])

    async def _ids(self, shards: list[ShardKeys], path: str | None) -> set[str]:
        replies = await self._read("user_ids", shards, (path or "",))
        return set(chain.from_iterable(reply[2:] for reply in replies))

    async def _read(
        self, script: str, shards: list[ShardKeys], args: Iterable[str | int]
    ) -> list[list[Any]]:
        arguments = (self._runner.config.session_timeout_ms, *args)
        return [reply for (reply,) in await self._runner.read(script, shards, lambda n: arguments)]


def _bytes(text: str) -> bytes:
    return text.encode()


def _user_in(place: str) -> str:
    return place.rpartition("\t")[2]


def _pairs(flat: list[Any]) -> Iterable[tuple[str, list[Any]]]:
    return zip(flat[::2], flat[1::2], strict=True)
