"""Runs scripts: one call or many, within a deadline, for the hour of Redis's own clock."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any

from redis.exceptions import ResponseError

from service.errors import StoreError, StoreRefused
from service.redis.client import DEADLINE_S
from service.redis.connection import Connection
from service.redis.failures import FAILURES, as_store_error
from service.redis.replicas import CLOCK_LIFE_MS, Answer
from service.redis.scripts import Call, Client, Command, load, run, run_many, run_mixed
from service.store.config import StoreConfig
from service.store.keys import MS_PER_HOUR, Keys, ShardKeys

CallsOf = Callable[[int], Sequence[Call]]  # by the hour that their keys are named after


class ScriptRunner:
    """Runs scripts for the writer and the reader. Every failure of Redis leaves it as a StoreError
    without secrets in it.

    `clock` gives the `now` argument of the scripts: empty, for Redis's own time, in all but tests
    and replays. `span` is around each call that a request waits for, given the name of its script:
    a trace is made of it where the app is traced.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        config: StoreConfig,
        *,
        observe_error: Callable[[str], None] = lambda kind: None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.connection = connection
        self.keys = keys
        self.config = config
        self.deadline_s = deadline_s
        self.clock: Callable[[], str] = lambda: ""
        # redis-py's types say bytes or str everywhere; here it is always str.
        self.client: Any = connection.client
        self._replicas = connection.replicas
        self.observe_error = observe_error
        self.span: Callable[[str], AbstractContextManager[None]] = lambda script: nullcontext()
        # Whether one call may name keys of several sites; found out where a proxy hides a cluster.
        self.allows_cross_slot = connection.allows_cross_slot
        self._has_evalsha_ro = True  # Redis before 7 has no EVALSHA_RO; found out by the first call
        self._clock_offset_ms = 0.0

    def call(
        self,
        script: str,
        shard: ShardKeys,
        hour: int,
        args: Sequence[str | int] = (),
        more_keys: Sequence[str] = (),
        *,
        is_read_only: bool = False,
    ) -> Call:
        """A call of a script on one shard."""
        return Call(
            load(script),
            (*shard.all_of(hour), *more_keys),
            (self.clock(), hour, *args),
            is_read_only and self._has_evalsha_ro,
        )

    async def replies(self, calls_of: CallsOf, client: Client | None = None) -> list[Any]:
        """Returns the replies in order; an error stands for the reply of its call. Calls with the
        keys of an hour that is over are repeated, once, with those of Redis's own hour.

        Raises:
            RedisError: the server could not be reached, or broke off.
        """
        client = client or self.client
        replies = await run_many(client, calls_of(self.hour()))
        for reply in replies:
            if isinstance(reply, list):
                self.learn_clock(reply[0])
        stale = [n for n, reply in enumerate(replies) if _is_stale(reply)]
        if stale:
            calls = calls_of(self.hour())
            again = await run_many(client, [calls[n] for n in stale])
            for n, reply in zip(stale, again, strict=True):
                replies[n] = StoreRefused("Redis's clock jumps") if _is_stale(reply) else reply
        return replies

    def user_arguments(self, shard: ShardKeys) -> tuple[int, ...]:
        """The last argument of a script that ends sessions: none where a site has no users."""
        return (self.config.users_kept,) if shard.has_users else ()

    async def write(
        self, script: str, shard: ShardKeys, more_keys: Sequence[str], args: Sequence[str | int]
    ) -> Any:
        """The reply of one call that writes. Raises StoreError."""
        args = (*self.config.arguments, *args)
        async with self.failures():
            with self.span(script):
                (reply,) = await self.replies(
                    lambda hour: [self.call(script, shard, hour, args, more_keys)]
                )
        return self.checked(reply)

    async def read(
        self,
        script: str,
        shards: Sequence[ShardKeys],
        args_of: Callable[[int], Sequence[str | int]],
        commands_of: Callable[[ShardKeys, int], Sequence[Command]] = lambda shard, hour: (),
        *,
        is_current: bool = False,
    ) -> list[tuple[Any, ...]]:
        """Returns for each shard the reply of a read-only script, and those of plain commands sent
        with it. `args_of` gives the arguments by the number of the shard. What `is_current` has
        everything that was written before; else a replica may answer, and `now` is the moment of
        which it has everything.

        Raises:
            StoreError: Redis cannot tell now.
        """

        async def ask(hour: int) -> list[tuple[Any, ...]]:
            groups: list[list[Call | Command]] = []
            for n, shard in enumerate(shards):
                call = self.call(script, shard, hour, args_of(n), is_read_only=True)
                groups.append([call, *commands_of(shard, hour)])
            reads = [one for group in groups for one in group]
            flat = map(_told, await self._answers(reads, is_current=is_current))
            return [tuple(next(flat) for _ in group) for group in groups]

        async with self.failures():
            with self.span(script):
                replies = await ask(self.hour())
                if self._has_evalsha_ro and any(_is_unknown(reply[0]) for reply in replies):
                    self._has_evalsha_ro = False
                    replies = await ask(self.hour())
                if any(_is_stale(reply[0]) for reply in replies):
                    replies = await ask(self.hour())
        for reply in replies:
            for part in reply:
                self.checked(part)
            if _is_stale(reply[0]):
                raise StoreRefused("Redis's clock jumps")
        return replies

    async def site_counts(self, groups: Sequence[Sequence[str]]) -> list[Any]:
        """The replies of sites.lua for these keys of `active`, as `replies` gives them."""

        async def ask() -> list[Any]:
            args, is_read_only = (self.clock(),), self._has_evalsha_ro
            calls = [Call(load("sites"), keys, args, is_read_only) for keys in groups]
            return list(map(_told, await self._answers(calls)))

        replies = await ask()
        if self._has_evalsha_ro and any(map(_is_unknown, replies)):
            self._has_evalsha_ro = False
            replies = await ask()
        return replies

    async def _answers(
        self, reads: Sequence[Call | Command], *, is_current: bool = False
    ) -> list[Answer]:
        """The answers to what only reads, in order, of replicas where they may give them; an error
        of one in the place of its value. Raises as `run_mixed`."""
        answers: list[Answer | None] = [None] * len(reads)
        if self._replicas is not None and not is_current:
            answers = await self._replicas.read(list(map(self._at, reads)), self.about_now_ms)
        # What a replica says is lost may only not have come yet; and where a site was split anew
        # since, it names keys that the replica had not renamed yet.
        missing = [
            n
            for n, one in enumerate(answers)
            if one is None or _is_lost(one.value) or one.as_of_ms < self.keys.known_since_ms
        ]
        if missing:
            replies = await run_mixed(self.client, [reads[n] for n in missing])
            for n, reply in zip(missing, replies, strict=True):
                if isinstance(reads[n], Call) and isinstance(reply, list):
                    self.learn_clock(reply[0])
                answers[n] = Answer(reply, self.about_now_ms())
        return [one for one in answers if one is not None]

    def _at(self, read: Call | Command) -> Call | Command:
        """The same by the primary's clock: a replica's may be another."""
        if not isinstance(read, Call) or read.args[0]:
            return read
        return read._replace(args=(str(self.about_now_ms()), *read.args[1:]))

    async def look(self, commands: Iterable[Command]) -> list[Any]:
        """The replies of plain commands that only read, in order; of replicas where they may
        answer. Raises StoreError."""
        replies, _ = await self.look_as_of(commands)
        return replies

    async def look_as_of(self, commands: Iterable[Command]) -> tuple[list[Any], int]:
        """Also the moment of which the replies have everything, in ms. Raises StoreError."""
        async with self.failures():
            answers = await self._answers(list(commands))
        as_of_ms = min((one.as_of_ms for one in answers), default=self.about_now_ms())
        return [self.checked(one.value) for one in answers], as_of_ms

    async def commands(self, commands: Iterable[Command]) -> list[Any]:
        """The replies of plain commands, sent as one, in order, of primaries. Raises StoreError."""
        async with self.failures():
            pipeline = self.client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            return list(await pipeline.execute()) if len(pipeline) else []

    async def mark(self, key: str) -> None:
        """Has a primary write its clock into a key of it. Raises RedisError."""
        call = Call(load("mark"), [key], (self.clock(), CLOCK_LIFE_MS))
        (now_text,) = await run(self.client, call)
        self.learn_clock(now_text)

    def hour(self) -> int:
        """The hour of Redis's clock, as far as it is known; scripts refuse a wrong one."""
        return self.about_now_ms() // MS_PER_HOUR

    def about_now_ms(self) -> int:
        """Redis's time in ms, estimated from its last reply."""
        given = self.clock()
        return int(given) if given else int(time.time() * 1000 + self._clock_offset_ms)

    def learn_clock(self, now_text: str) -> None:
        """Takes note of Redis's time, ms, as a reply says it."""
        if not self.clock():
            self._clock_offset_ms = int(now_text) - time.time() * 1000

    @asynccontextmanager
    async def failures(self, seconds: float | None = None) -> AsyncIterator[None]:
        """Sets a deadline, and turns every failure of Redis into a StoreError."""
        try:
            async with asyncio.timeout(seconds or self.deadline_s):
                yield
        except FAILURES as error:
            raise self.translated(error) from error

    def translated(self, error: BaseException) -> StoreError:
        """The StoreError of a failure, which is counted."""
        kind = self.connection.kind_of(error)
        self.observe_error(kind)
        return as_store_error(kind)

    def checked(self, reply: Any) -> Any:
        """The reply, if it is not an error. Raises StoreError."""
        if isinstance(reply, Exception):
            raise self.error_of(reply) from reply
        return reply

    def error_of(self, reply: Exception) -> StoreError:
        """The StoreError of an error that stands for a reply."""
        return reply if isinstance(reply, StoreError) else self.translated(reply)


def _told(answer: Answer) -> Any:
    """The value of an answer; that of a script with the moment that it is of for `now`."""
    if isinstance(answer.value, list) and answer.is_of_replica:
        answer.value[0] = str(answer.as_of_ms)
    return answer.value


def _is_lost(reply: Any) -> bool:
    return isinstance(reply, list) and len(reply) == 2 and reply[1] == "lost"


def _is_stale(reply: Any) -> bool:
    return isinstance(reply, list) and len(reply) == 2 and reply[1] == "stale"


def _is_unknown(reply: Any) -> bool:
    """Whether Redis has no EVALSHA_RO, or an ACL forbids it or EVAL_RO, as those written for
    earlier releases do."""
    said = str(reply).lower() if isinstance(reply, ResponseError) else ""
    return "unknown command" in said or "evalsha_ro" in said or "eval_ro" in said
