"""Sends batches of heartbeats, goodbyes and page views: which travel in one call, what each call
says, and what its reply means for each item."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import zip_longest
from operator import attrgetter, itemgetter
from typing import Any

from redis.exceptions import ClusterCrossSlotError, ResponseError, TryAgainError

from service.errors import StoreBusy
from service.redis.failures import kind_of
from service.redis.scripts import Call, load
from service.store.batching.batch import Answer, Batch, Elsewhere, PartlyDone, Requeue
from service.store.due import DueList
from service.store.keys import ShardKeys
from service.store.members import member_of
from service.store.resharding.carrier import Carrier
from service.store.resharding.former_shards import asking
from service.store.runner import ScriptRunner

CALL_LIMIT = 128  # heartbeats of one call, of all its sites: about 3 ms of Redis


class _OneByOne(PartlyDone):
    """The rest is to be sent again at once, each item in a call of its own; only then is the batch
    answered."""


_Batch = Batch[ShardKeys, Any, str]
_KEY = attrgetter("key")
_HAS_SOURCES = itemgetter(6)  # of a Heartbeat


class BatchSender:
    """Sends the batches that a batcher has collected.

    Args:
        carrier: takes over what belongs to another shard than it was sent to.
        observe_batch: told of each call of heartbeats: how many, and the seconds it took.
        observe_outcomes: told of each site's part of a call, by the tag of its shard: what came of
            its heartbeats.
        batch_deadline_s: how long one batch, which others wait behind, may take, in seconds.
    """

    def __init__(
        self,
        runner: ScriptRunner,
        due: DueList,
        carrier: Carrier,
        *,
        observe_batch: Callable[[int, float], None],
        observe_outcomes: Callable[[str, Sequence[str]], None],
        batch_deadline_s: float,
    ) -> None:
        self._runner = runner
        self._due = due
        self._carrier = carrier
        self._observe_batch = observe_batch
        self._observe_outcomes = observe_outcomes
        self._batch_deadline_s = batch_deadline_s

    async def send(self, batches: list[_Batch]) -> list[Answer[str]]:
        """Sends the batches of one lane; heartbeats of many sites travel in one call."""
        runner = self._runner
        groups = self._grouped(batches)
        started = time.perf_counter()
        async with runner.failures(self._batch_deadline_s):
            replies = await runner.replies(
                lambda hour: [call for group in groups for call in self._calls(group, hour)],
                runner.connection.lane_client,
            )
            seconds = time.perf_counter() - started
            answers: list[Any] = []
            position = 0
            for group in groups:
                if group[0].kind != "heartbeat":
                    (batch,) = group
                    own = replies[position : position + len(batch.items)]
                    answers.append(self._single_answers(batch, own))
                    position += len(own)
                    continue
                self._observe_batch(sum(len(batch.items) for batch in group), seconds)
                answers += self._heartbeat_answers(group, replies[position])
                position += 1
            if _OneByOne in map(type, answers):
                for n, batch in enumerate(batches):
                    if isinstance(answer := answers[n], _OneByOne):
                        answers[n] = await self._one_by_one(batch, answer.done)
        if self._due.is_waiting():
            await self._due.write_soon()
        return answers

    def _grouped(self, batches: list[_Batch]) -> list[list[_Batch]]:
        """Groups batches by call. Heartbeats of several shards share one, each shard at most once
        and CALL_LIMIT heartbeats in all; any other batch has its own. The order is kept."""
        if len(batches) == 1:
            return [batches]
        groups: list[list[_Batch]] = []
        has_repeats = len(set(map(_KEY, batches))) < len(batches)
        room, shards = 0, set[ShardKeys]()  # of the last group: heartbeats, and whose
        for batch in batches:
            size = len(batch.items)
            if batch.kind != "heartbeat" or size > room or (has_repeats and batch.key in shards):
                groups.append([batch])
                is_open = batch.kind == "heartbeat" and self._runner.allows_cross_slot
                room, shards = CALL_LIMIT - size if is_open else 0, {batch.key}
                continue
            groups[-1].append(batch)
            room -= size
            if has_repeats:
                shards.add(batch.key)
        return groups

    def _calls(self, group: list[_Batch], hour: int) -> list[Call]:
        """Builds the call of a group of heartbeats, or one for each item of another batch."""
        batch, runner = group[0], self._runner
        if batch.kind == "heartbeat":
            return [self._heartbeat_call(group, hour)]
        keys, settings = batch.key, runner.config.arguments
        if batch.kind == "leave":
            grace_ms = runner.config.leave_grace_ms
            return [
                runner.call(
                    "leave", keys, hour, (*settings, grace_ms, path), (keys.session(session_id),)
                )
                for session_id, path in batch.items
            ]
        return [
            runner.call(
                "view",
                keys,
                hour,
                (*settings, view.path, view.page_type, view.referrer, client),
                (keys.session(view.session_id), keys.viewed(view.session_id, view.path)),
            )
            for view, client in batch.items
        ]

    def _heartbeat_call(self, group: list[_Batch], hour: int) -> Call:
        runner = self._runner
        all_keys: list[str] = []
        args: list[str | int] = [runner.clock(), hour, *runner.config.heartbeat_arguments]
        has_users = False
        for batch in group:
            keys = batch.key
            all_keys += keys.all_of(hour)
            count = len(batch.items)
            if keys.has_users:
                count, has_users = -count, True
            if True in map(_HAS_SOURCES, batch.items):
                all_keys.append(keys.sources_of(hour))
                args.append(f"{count}.5")  # its sign and its half are flags: heartbeat.lua
            else:
                args.append(count)
            session, viewed = keys.session_prefix, keys.viewed_prefix
            asks = keys.asks_until_ms > runner.about_now_ms() if keys.asks_until_ms else False
            known: list[str] = []
            for session_id, path, country, client, details, user, _ in batch.items:
                all_keys += (session + session_id, f"{viewed}{session_id}:{path}")
                args.append(member_of(session_id, country or "--", path, user))
                if asks:
                    details = asking(details)
                known.append(f"{client} {details}" if details else client)
            args += known
        if has_users:
            args.append(runner.config.users_kept)
        return Call(load("heartbeat"), all_keys, args)

    def _heartbeat_answers(self, group: list[_Batch], reply: Any) -> list[Answer[str]]:
        """What one call of heartbeats says, by batch. Where one of several has met a key of a
        wrong type, those without an outcome are to be sent again one by one, so that nobody else
        suffers."""
        if isinstance(reply, Exception):
            if isinstance(reply, ClusterCrossSlotError):
                # A proxy before a cluster: the next calls are of one site each.
                self._runner.allows_cross_slot = False
            if self._is_moving(reply):
                return [Requeue(partial(self._runner.error_of, reply))] * len(group)
            is_lone = len(group) == 1 and len(group[0].items) == 1
            if is_lone or kind_of(reply) != "WRONGTYPE":
                return [self._runner.error_of(reply)] * len(group)
            return [_OneByOne()] * len(group)
        answers: list[Answer[str]] = []
        now_ms, now_s, position = int(reply[0]), time.monotonic(), 1
        for batch in group:
            first, last = position + 1, position + 1 + len(batch.items)
            status, outcomes = reply[position], reply[first:last]
            position = last
            if status == "moved layout":
                self._carrier.turns.hold(batch, range(len(batch.items)))
                answers.append(Elsewhere(self._carrier.follow))
            elif status.startswith("failed "):
                answers.append(self._failed_answers(batch, outcomes, ResponseError(status)))
            else:
                self._due.note(batch.key.tag, status == "opened", now_ms, now_s)
                self._observe_outcomes(batch.key.tag, outcomes)
                if batch.key.asks_until_ms and "elsewhere" in outcomes:
                    known = [None if one == "elsewhere" else one for one in outcomes]
                    left = [n for n, one in enumerate(known) if one is None]
                    self._carrier.turns.hold(batch, left)
                    answers.append(Elsewhere(self._carrier.carry, known))
                else:
                    answers.append(outcomes)
        return answers

    def _failed_answers(
        self, batch: _Batch, outcomes: Sequence[str | None], error: ResponseError
    ) -> Answer[str]:
        if len(batch.items) > 1 and kind_of(error) == "WRONGTYPE":
            return _OneByOne(outcomes)
        failure = self._runner.translated(error)
        return [failure if outcome is None else outcome for outcome in outcomes]

    async def _one_by_one(
        self, batch: _Batch, outcomes: Sequence[str | None]
    ) -> list[str | BaseException]:
        """Sends each heartbeat that has no outcome yet in a call of its own."""
        rows = list(zip_longest(batch.items, batch.waiting, outcomes))
        alone = [
            Batch(batch.key, batch.kind, batch.begun_s, [item], [waiter])
            for item, waiter, outcome in rows
            if outcome is None
        ]
        replies = iter(
            await self._runner.replies(
                lambda hour: [self._heartbeat_call([one], hour) for one in alone],
                self._runner.connection.lane_client,
            )
        )
        answers: list[str | BaseException] = []
        lone = iter(alone)
        for _, _, outcome in rows:
            if outcome is not None:
                answers.append(outcome)
                continue
            (answer,) = self._heartbeat_answers([next(lone)], next(replies))
            assert not isinstance(answer, _OneByOne)  # it is alone already
            if isinstance(answer, Requeue):
                answer = answer.error()
            elif isinstance(answer, Elsewhere):
                answer = StoreBusy("this site is being split anew; try again")
            answers.append(answer if isinstance(answer, BaseException) else answer[0])
        return answers

    def _is_moving(self, reply: Exception) -> bool:
        """Whether a slot is being moved, and has a lane in which nobody else waits for that."""
        return isinstance(reply, TryAgainError) and not self._runner.connection.allows_cross_slot

    def _single_answers(self, batch: _Batch, replies: list[Any]) -> Answer[str]:
        answers: list[Any] = []
        later: Exception | None = None
        for reply in replies:
            if isinstance(reply, Exception):
                if self._is_moving(reply):
                    later = reply
                    answers.append(None)
                else:
                    answers.append(self._runner.error_of(reply))
            elif batch.kind == "leave":
                if reply[2]:
                    self._due.enter_by(batch.key.tag, int(reply[2]))
                answers.append(reply[1])
            else:
                is_opened = reply[1] == "opened"
                self._due.note(batch.key.tag, is_opened, int(reply[0]), time.monotonic())
                answers.append(reply[2])
        return Requeue(partial(self._runner.error_of, later), answers) if later else answers
