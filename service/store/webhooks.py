"""What is kept of an endpoint that events are sent to: who sends, how far they have come, and how
that went. One hash for each, beside the shards of its site, so that it outlives their number.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from service.redis.scripts import Call, load, run
from service.store.runner import ScriptRunner

WEBHOOK_LIFE_MS = 30 * 86_400_000  # after an endpoint was last served
USER_FIELD = "user:"  # and the id, of one who was told as online


class Taken(NamedTuple):
    """A lease of an endpoint. `fence`: its number. `was_until`: when the one before it ended, 0:
    there was none. Moments in ms."""

    now: int
    fence: int
    was_until: int


class Busy(NamedTuple):
    """Another copy has a lease of the endpoint, until then, ms."""

    now: int
    until: int


class Here(NamedTuple):
    """What the log of a site adds up to at a moment, ms: sessions, and those on a page. Where it
    ended then, in each shard."""

    now: int
    positions: list[str]
    active: int
    on_page: int


class StoreWebhooks:
    """Hands out endpoints and keeps their state. Every method raises StoreError."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    async def take(self, site: str, name: str, lease_ms: int) -> Taken | Busy:
        """A lease of an endpoint, if no other copy has one."""
        now, status, number, *rest = await self._run("webhook_lease", site, name, [lease_ms])
        if status == "busy":
            return Busy(int(now), int(number))
        return Taken(int(now), int(number), int(rest[0]))

    async def renew(
        self, site: str, name: str, fence: int, lease_ms: int, fields: Mapping[str, str]
    ) -> int | None:
        """Renews a lease and writes these fields, empty ones: removes them; the moment, ms. None:
        the lease is another one by now, and nothing was written."""
        flat = [text for pair in fields.items() for text in pair]
        now, status = await self._run("webhook_renew", site, name, [fence, lease_ms, *flat])
        return int(now) if status == "renewed" else None

    async def kept(self, site: str, name: str) -> dict[str, str]:
        """All fields."""
        (fields,) = await self._runner.commands([("HGETALL", self._key(site, name))])
        return dict(fields)

    async def resume(self, site: str, name: str) -> None:
        """Takes back a pause."""
        await self._runner.commands([("HDEL", self._key(site, name), "paused")])

    async def forget_user(self, site: str, name: str, user: str) -> None:
        """Forgets that a user was told as online."""
        await self._runner.commands([("HDEL", self._key(site, name), USER_FIELD + user)])

    async def here(self, site: str, path: str) -> Here:
        """What the log of a site adds up to, and where it ends."""
        shards = self._runner.keys.with_logs(site)
        replies = [
            reply for (reply,) in await self._runner.read("webhook_here", shards, lambda n: (path,))
        ]
        return Here(
            min(int(reply[0]) for reply in replies),
            [reply[1] for reply in replies],
            sum(int(reply[2]) for reply in replies),
            sum(int(float(reply[3])) for reply in replies),
        )

    def about_now_ms(self) -> int:
        """Redis's time, estimated from its last reply."""
        return self._runner.about_now_ms()

    async def _run(self, script: str, site: str, name: str, args: list[str | int]) -> Any:
        runner = self._runner
        call = Call(load(script), (self._key(site, name),), (runner.clock(), *args))
        async with runner.failures():
            reply = await run(runner.client, call)
        runner.learn_clock(reply[0])
        return reply

    def _key(self, site: str, name: str) -> str:
        return self._runner.keys.webhook(site, name)
