"""How the store speaks to Redis: one call or many, within a deadline, by Redis's own clock."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any

from service.errors import StoreError
from service.redis.client import DEADLINE_S, Connection
from service.redis.failures import FAILURES, as_store_error, kind_of
from service.redis.scripts import Call, load, run, run_many
from service.store.config import StoreConfig
from service.store.keys import MS_PER_HOUR, Keys


class ScriptRunner:
    """What reading and writing have in common. Every failure of Redis leaves it as a StoreError
    without secrets in it.

    `clock` gives the `now_ms` argument of the scripts: empty, for Redis's own time, in all but
    tests and replays. `span` is around each call that a request waits for, given the name of its
    script: a trace is made of it where the app is traced.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        rules: StoreConfig,
        *,
        observe_error: Callable[[str], None] = lambda kind: None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.connection = connection
        self.keys = keys
        self.rules = rules
        self._deadline_s = deadline_s
        self.clock: Callable[[], str] = lambda: ""
        # redis-py's types say bytes or str everywhere; here it is always str.
        self._client: Any = connection.client
        self._observe_error = observe_error
        self.span: Callable[[str], AbstractContextManager[None]] = lambda script: nullcontext()
        self._clock_offset_ms = 0.0
        # Whether one call may name keys of several sites; found out where a proxy hides a cluster.
        self.mixes_sites = connection.mixes_sites

    async def probe(self) -> None:
        """Writes for real. Raises StoreError."""
        async with self._failures():
            await self._client.set(self.keys.probe, "1", px=60_000)

    def _hour(self) -> int:
        """The hour that Redis is thought to live in; the scripts say when it is another."""
        return self._about_now_ms() // MS_PER_HOUR

    def _about_now_ms(self) -> int:
        """Redis's time as far as it is known here."""
        given = self.clock()
        return int(given) if given else int(time.time() * 1000 + self._clock_offset_ms)

    def _learn_clock(self, now_text: str) -> None:
        if not self.clock():
            self._clock_offset_ms = int(now_text) - time.time() * 1000

    async def _read_hourly(
        self, script: str, keys_of: Callable[[int], Sequence[str]], args: Sequence[str | int]
    ) -> Any:
        for _ in range(2):
            hour = self._hour()
            reply = await self._read(Call(load(script), keys_of(hour), (self.clock(), hour, *args)))
            if reply[1] != "stale":
                break
            self._learn_clock(reply[0])
        return reply

    async def _read(self, call: Call) -> Any:
        async with self._failures():
            with self.span(call.script.name):
                return await run(self._client, call)

    async def _read_all(self, calls: Iterable[Call]) -> list[Any]:
        calls = list(calls)
        async with self._failures():
            with self.span(calls[0].script.name if calls else "nothing"):
                replies = await run_many(self._client, calls)
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        return replies

    @asynccontextmanager
    async def deadline(self) -> AsyncIterator[None]:
        """One deadline around several operations, so that an answer made of many is in time too.

        Raises:
            StoreError: Redis cannot do it now.
        """
        async with self._failures():
            yield

    @asynccontextmanager
    async def _failures(self, seconds: float | None = None) -> AsyncIterator[None]:
        """Ends what takes too long, and turns what Redis answers into a StoreError."""
        try:
            async with asyncio.timeout(seconds or self._deadline_s):
                yield
        except FAILURES as error:
            raise self._translated(error) from error

    def _translated(self, error: BaseException) -> StoreError:
        kind = kind_of(error)
        self._observe_error(kind)
        return as_store_error(kind)


def is_stale(reply: Any) -> bool:
    """Whether a script says that it was given the keys of an hour that is over."""
    return isinstance(reply, list) and reply[1] == "stale"
