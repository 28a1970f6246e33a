"""Takes sessions over into the shards of a newer layout, each with its next heartbeat.

Two shards may be in two slots, which share no step. So a session is read where it was, entered
where it is to be, and only then let go of. Who stops in between leaves it twice until it times out
where it was; it is never lost.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog

from service.errors import StoreBusy, StoreError
from service.store.batch import Batch, deliver
from service.store.keys import Keys, ShardKeys, generation_of, site_of
from service.store.layouts import Layouts
from service.store.runner import ScriptRunner
from service.store.waiters import SharedWaiter, Waiter

ASK_AGAIN_S = 0.02  # while a change is under way
RELEASED_AT_ONCE = 128  # sessions: some ms of Redis
HELD_S = 2.5  # the longest that something is waited for; its caller does not wait so long
VALID_S = 1.0  # what was read of a session; who was stopped for longer in between gives up
# A session that goes on; one that began anew is told as gone where it was, by the sweep.
_WENT_ON = frozenset(("moved", "refreshed", "duplicate"))
_FIELDS = (
    "path", "seen", "since", "country", "user", "type", "city", "latitude", "longitude", "leaving",
)  # fmt: skip

_Batch = Batch[ShardKeys, Any, str]
_Submit = Callable[[ShardKeys, str, Any, Waiter[str]], None]
_FORMER = '{"former":'

log = structlog.get_logger(__name__)


def asking(details: str) -> str:
    """The details of a heartbeat whose session may be in another shard, unless they say what is
    there."""
    return details if details.startswith(_FORMER) else _with_former("false", details)


def _with_former(former: str, details: str) -> str:
    rest = details[1:] if len(details) > len("{}") else "}"
    return f"{_FORMER}{former}{',' if rest != '}' else ''}{rest}"


class _Seen(NamedTuple):
    """What is known of a session in former shards. `former`: as the script takes it, empty: it is
    in none; `in_shards`: where it is; `viewed`: until when its view of the path is counted already,
    ms."""

    former: dict[str, Any]
    in_shards: list[ShardKeys]
    viewed: int


class _Held:
    """Waits for an item that is sent again. What follows of the same session waits for it."""

    __slots__ = ("_mover", "_waiter", "before", "in_shards", "is_over", "session", "until")

    def __init__(self, mover: "Mover", session: tuple[str, str], waiter: Waiter[str]) -> None:
        self._mover = mover
        self._waiter = waiter
        self.session = session  # site and id
        self.before = mover.last_held(session)
        self.in_shards: list[ShardKeys] = []  # in which it is to be let go of
        self.is_over = asyncio.Event()
        self.until = time.monotonic() + HELD_S

    def done(self) -> bool:
        # Also where nobody needs the outcome any more, it is to be let go of where it was.
        return not self.in_shards and self._waiter.done()

    def set_result(self, result: str, /) -> None:
        if self.in_shards and result in _WENT_ON:
            self._mover.release_then(self.in_shards, self.session[1], self._waiter, result)
        elif not self._waiter.done():
            self._waiter.set_result(result)
        self._end()

    def set_exception(self, error: BaseException, /) -> None:
        if not self._waiter.done():
            self._waiter.set_exception(error)
        self._end()

    def cancel(self) -> None:
        self._waiter.cancel()
        self._end()

    def _end(self) -> None:
        self.before = None
        self.is_over.set()
        self._mover.forget(self)

    async def its_turn(self) -> None:
        """Waits for what came before of the session."""
        while (before := self.before) and not before.is_over.is_set():
            left_s = before.until - time.monotonic()
            if left_s <= 0:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(before.is_over.wait(), left_s)
        self.before = None


def _held(waiter: Waiter[str]) -> _Held | None:
    """What an item that is sent again is waited for with; others may share its result."""
    if isinstance(waiter, SharedWaiter):
        waiter = waiter.waiters[0]
    return waiter if isinstance(waiter, _Held) else None


class Mover:
    """Sees to what belongs to another shard than it was sent to. What follows of the same session
    waits for that, so that all of one session stays in order."""

    def __init__(self, runner: ScriptRunner, layouts: Layouts) -> None:
        self._runner = runner
        self._layouts = layouts
        self.submit: _Submit  # of the batcher, which is made after this
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: dict[tuple[str, str], _Held] = {}  # by session
        self._to_release: list[_Release] = []
        self._is_releasing = False

    def last_held(self, session: tuple[str, str]) -> _Held | None:
        """What is waited for of a session last; None: nothing is."""
        held = self._last.get(session)
        if held is not None and held.until < time.monotonic():  # the call failed after all
            self.forget(held)
            return None
        return held

    def forget(self, held: _Held) -> None:
        """Nothing waits for that any more."""
        if self._last.get(held.session) is held:
            del self._last[held.session]

    def is_to_wait(self, batch: _Batch, index: int) -> bool:
        """Whether an item is to wait for what came before of its session."""
        if not self._last or batch.kind not in ("heartbeat", "leave"):
            return False
        session = (site_of(batch.key.tag), batch.items[index][0])
        return self.last_held(session) is not None and _held(batch.waiting[index]) is None

    def hold(self, batch: _Batch, indexes: Iterable[int]) -> None:
        """Has what follows of the sessions of these items wait for them."""
        site = site_of(batch.key.tag)
        for index in indexes:
            if _held(batch.waiting[index]) is None:
                session = (site, batch.items[index][0])
                held = _Held(self, session, batch.waiting[index])
                batch.waiting[index] = self._last[session] = held

    @property
    def _keys(self) -> Keys:
        return self._runner.keys

    def follow(self, batch: _Batch) -> None:
        """Has a batch sent to the layout that its site has by now."""
        self._start_in_turn(batch, self._follow)

    def carry(self, batch: _Batch) -> None:
        """Has heartbeats sent again, with what former shards know of each."""
        self._start_in_turn(batch, self._carry)

    def queue(self, batch: _Batch) -> None:
        """Has a batch sent when all that came before of its sessions is."""
        self._start_in_turn(batch, self._send_all)

    def _start_in_turn(
        self, batch: _Batch, work: Callable[[_Batch], Coroutine[Any, Any, None]]
    ) -> None:
        """Those whose turn it is together, each other by itself."""
        now = Batch[ShardKeys, Any, str](batch.key, batch.kind, batch.begun_s, [], [])
        for item, waiter in zip(batch.items, batch.waiting, strict=True):
            held = _held(waiter)
            if held and held.before and not held.before.is_over.is_set():
                one = Batch(batch.key, batch.kind, batch.begun_s, [item], [waiter])
                self._start(self._run(one, work, held))
            else:
                now.items.append(item)
                now.waiting.append(waiter)
        if now.items:
            self._start(self._run(now, work))

    async def _run(
        self,
        batch: _Batch,
        work: Callable[[_Batch], Coroutine[Any, Any, None]],
        held: _Held | None = None,
    ) -> None:
        try:
            if held:
                await held.its_turn()
            await work(batch)
        except StoreError as error:
            deliver(batch, error)
        except Exception as error:
            log.error("carry_failed", kind=type(error).__name__, exc_info=error)
            deliver(batch, StoreError("a session could not be moved"))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="mover")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Waits for what is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _follow(self, batch: _Batch) -> None:
        site, generation = site_of(batch.key.tag), generation_of(batch.key.tag)
        until = batch.begun_s + self._runner.deadline_s
        while self._keys.layouts_of(site).current.generation <= generation:
            if time.monotonic() >= until:
                raise StoreBusy("this site is being split anew; try again")
            try:
                await self._layouts.learn()
            except StoreError:
                if time.monotonic() + ASK_AGAIN_S >= until:
                    raise
            else:
                if self._keys.layouts_of(site).current.generation > generation:
                    break
            await asyncio.sleep(ASK_AGAIN_S)
        await self._send_all(batch)

    async def _send_all(self, batch: _Batch) -> None:
        site = site_of(batch.key.tag)
        for item, waiter in zip(batch.items, batch.waiting, strict=True):
            key = self._keys.of_session(site, item[0])
            # What was known of it is out of date.
            plain = item if batch.kind != "heartbeat" else _without_former(item)
            self._send(key, batch.kind, plain, waiter)

    def _send(self, key: ShardKeys, kind: str, item: Any, waiter: Waiter[str]) -> None:
        try:
            self.submit(key, kind, item, waiter)
        except StoreError as error:
            waiter.set_exception(error)

    async def _carry(self, batch: _Batch) -> None:
        began_s = time.monotonic()
        shard, site = batch.key, site_of(batch.key.tag)
        seen = await self.look(site, shard, [(item[0], item[1]) for item in batch.items])
        await self.mark_viewed(
            shard,
            [(item[0], item[1], one.viewed) for item, one in zip(batch.items, seen, strict=True)],
        )
        if time.monotonic() - began_s > VALID_S:
            raise StoreBusy("Redis was busy for too long")
        for item, waiter, one in zip(batch.items, batch.waiting, seen, strict=True):
            former = msgspec.json.encode(one.former).decode()
            known = item._replace(details=_with_former(former, item.details))
            if held := _held(waiter):
                held.in_shards = one.in_shards
            self._send(shard, "heartbeat", known, waiter)

    async def look(
        self, site: str, shard: ShardKeys, sessions: Sequence[tuple[str, str]]
    ) -> list[_Seen]:
        """What former shards know of sessions, each on a path. Raises StoreError."""
        runner, now_ms = self._runner, self._runner.about_now_ms()
        places = [
            (n, session_id, path, former)
            for n, (session_id, path) in enumerate(sessions)
            for former in self._keys.former_of_session(site, session_id, now_ms)
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
        seen = [_Seen({}, [], 0) for _ in sessions]
        for (n, session_id, _, former), fields, mark, names in zip(
            places, hashes, marks, located, strict=True
        ):
            row = next(rows) if fields.get("user") and former.has_users else ""
            known = seen[n]
            viewed = max(known.viewed, int(mark or 0))
            if "seen" not in fields or (fields.get("user") and not shard.has_users):
                seen[n] = known._replace(viewed=viewed)
                continue
            what = known.former or self._former(session_id, fields, names, row)
            seen[n] = _Seen(what, [*known.in_shards, former], viewed)
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
        """Marks views, of session and path until a moment in ms, as counted; 0: not counted. Raises
        StoreError."""
        now_ms = self._runner.about_now_ms()
        await self._runner.commands(
            ("SET", shard.viewed(session_id, path), until, "NX", "PX", until - now_ms)
            for session_id, path, until in views
            if until > now_ms
        )

    def release_then(
        self, shards: Sequence[ShardKeys], session_id: str, waiter: Waiter[str], outcome: str
    ) -> None:
        """Lets go of a session in former shards, which goes on in a newer one, and tells the
        outcome then."""
        self._to_release.append(_Release(shards, session_id, waiter, outcome))
        if not self._is_releasing:
            self._is_releasing = True
            self._start(self._release_all())

    async def _release_all(self) -> None:
        """Many at once: thousands of sessions may go on in the same moment, and a call each would
        take all connections."""
        try:
            while self._to_release:
                some = self._to_release[:RELEASED_AT_ONCE]
                del self._to_release[:RELEASED_AT_ONCE]
                try:
                    await self._release(some)
                except StoreError as error:  # they time out there
                    log.warning("release_failed", reason=error.detail, sessions=len(some))
                finally:
                    for one in some:
                        if not one.waiter.done():
                            one.waiter.set_result(one.outcome)
        finally:
            self._is_releasing = False

    async def _release(self, some: Sequence["_Release"]) -> None:
        runner = self._runner
        pairs = [(shard, one.session_id) for one in some for shard in one.shards]
        async with runner.failures():
            replies = await runner.replies(
                lambda hour: [
                    runner.call(
                        "release",
                        shard,
                        hour,
                        (*runner.config.arguments, *runner.user_arguments(shard)),
                        (shard.session(session_id),),
                    )
                    for shard, session_id in pairs
                ]
            )
        for reply in replies:
            runner.checked(reply)


class _Release(NamedTuple):
    """A session that is to be let go of, and who is told what then."""

    shards: Sequence[ShardKeys]
    session_id: str
    waiter: Waiter[str]
    outcome: str


def _without_former(item: Any) -> Any:
    if not item.details.startswith(_FORMER):
        return item
    details = msgspec.json.decode(item.details)
    del details["former"]
    return item._replace(details=msgspec.json.encode(details).decode() if details else "")
