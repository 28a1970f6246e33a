"""What the shards of earlier layouts know of sessions that go on in a newer one.

Two shards may be in two slots, which share no step. So a session is read where it was, entered
where it is to be, and only then let go of. Who stops in between leaves it twice until it times out
where it was; it is never lost.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from service.store.keys import ShardKeys
from service.store.runner import ScriptRunner

_FIELDS = (
    "path", "seen", "since", "country", "user", "type", "city", "latitude", "longitude", "leaving",
)  # fmt: skip
_FORMER = '{"former":'


def asking(details: str) -> str:
    """The details of a heartbeat whose session may be in another shard, unless they say what is
    there."""
    return details if details.startswith(_FORMER) else _with_former("false", details)


def knowing(former: dict[str, Any], details: str) -> str:
    """The details of a heartbeat, with what former shards know of its session."""
    return _with_former(msgspec.json.encode(former).decode(), details)


def _with_former(former: str, details: str) -> str:
    rest = details[1:] if len(details) > len("{}") else "}"
    return f"{_FORMER}{former}{',' if rest != '}' else ''}{rest}"


def without_former(item: Any) -> Any:
    """A heartbeat without what former shards knew of its session."""
    if not item.details.startswith(_FORMER):
        return item
    details = msgspec.json.decode(item.details)
    del details["former"]
    return item._replace(details=msgspec.json.encode(details).decode() if details else "")


class Seen(NamedTuple):
    """What is known of a session in former shards. `former`: as the script takes it, empty: it is
    in none; `in_shards`: where it is; `viewed`: until when its view of the path is counted already,
    ms."""

    former: dict[str, Any]
    in_shards: list[ShardKeys]
    viewed: int


class FormerShards:
    """Reads what is there of sessions, and lets go of it. Every method raises StoreError."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    async def look(
        self, site: str, shard: ShardKeys, sessions: Sequence[tuple[str, str]]
    ) -> list[Seen]:
        """What former shards know of sessions, each on a path."""
        runner, now_ms = self._runner, self._runner.about_now_ms()
        places = [
            (n, session_id, path, former)
            for n, (session_id, path) in enumerate(sessions)
            for former in runner.keys.former_of_session(site, session_id, now_ms)
        ]
        replies = await runner.commands(
            command
            for _, session_id, path, former in places
            for command in (
                ("HGETALL", former.session(session_id)),
                ("GET", former.viewed(session_id, path)),
                ("HGET", former.located, session_id),
            )
        )
        hashes, marks, located = replies[::3], replies[1::3], replies[2::3]
        rows = iter(
            await runner.commands(
                ("HGET", former.users, fields["user"])
                for (*_, former), fields in zip(places, hashes, strict=True)
                if fields.get("user") and former.has_users
            )
        )
        seen = [Seen({}, [], 0) for _ in sessions]
        for (n, session_id, _, former), fields, mark, names in zip(
            places, hashes, marks, located, strict=True
        ):
            row = next(rows) if fields.get("user") and former.has_users else ""
            known = seen[n]
            viewed = max(known.viewed, int(mark or 0))
            if "seen" not in fields or (fields.get("user") and not shard.has_users):
                seen[n] = known._replace(viewed=viewed)
                continue
            what = self._former(session_id, fields, names, row)
            if what["ends"] <= now_ms:  # it has timed out there, which the sweep is to tell
                seen[n] = known._replace(viewed=viewed)
                continue
            seen[n] = Seen(known.former or what, [*known.in_shards, former], viewed)
        return seen

    def _former(
        self, session_id: str, fields: dict[str, str], located: str | None, row: str | None
    ) -> dict[str, Any]:
        former: dict[str, Any] = {name: fields[name] for name in _FIELDS if name in fields}
        timeout_ms = self._runner.config.session_timeout_ms
        former["ends"] = int(fields.get("leaving") or int(fields["seen"]) + timeout_ms)
        if located:
            former["located"] = located
        for session in (row or "").split("\t")[4:]:
            known_id, since, _, path = session.split(" ", 3)
            if known_id == session_id and path == fields["path"]:
                former["began"] = since
        return former

    async def mark_viewed(self, shard: ShardKeys, views: Sequence[tuple[str, str, int]]) -> None:
        """Marks views, of session and path until a moment in ms, as counted; 0: not counted."""
        now_ms = self._runner.about_now_ms()
        await self._runner.commands(
            ("SET", shard.viewed(session_id, path), until, "NX", "PXAT", until)
            for session_id, path, until in views
            if until > now_ms
        )

    async def release(self, sessions: Sequence[tuple[ShardKeys, str]]) -> None:
        """Lets go of sessions, each in a shard, which go on in a newer one."""
        runner = self._runner
        async with runner.failures():
            replies = await runner.replies(
                lambda hour: [
                    runner.call(
                        "end",
                        shard,
                        hour,
                        (*runner.config.arguments, "carried", *runner.user_arguments(shard)),
                        (shard.session(session_id),),
                    )
                    for shard, session_id in sessions
                ]
            )
        for reply in replies:
            runner.checked(reply)
