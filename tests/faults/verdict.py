"""What is checked after every fault.

The log of the load is replayed through the model of `tests/model.py`. A heartbeat that failed may
have been written, at once or later, so after it a session may be on more than one page; an
acknowledgement must fit to one of them, and so must what Redis says in the end.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from click.testing import CliRunner, Result

from service.cli import main
from service.settings import Settings
from service.store.config import StoreConfig
from service.store.from_settings import store_config_of
from service.store.keys import Keys
from tests import invariants
from tests.conftest import patient_store
from tests.faults.copies import Copy, environ_of
from tests.faults.load import BROKEN, Ack, Load, by_session
from tests.model import Site

ANSWER_WITHIN_S = 2.0
# What a busy machine may add: two cores shared with another test, its servers and its load.
ALLOWANCE_S = 1.5
_NOW = 1_900_000_000_000


class Loss(NamedTuple):
    """What a row allows to be lost, by the monotonic clock: what was acknowledged since `since`.
    It is lost some time between `begun` and `over`."""

    since: float
    begun: float
    over: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What happened under one fault."""

    answers: int
    failures: int
    longest_s: float
    repeated: int  # answers to a second try of the service's own, after a first that was written
    lost: int
    lost_window_s: float

    def as_dict(self) -> dict[str, float]:
        """For the report."""
        return {
            "answers": self.answers,
            "failures": self.failures,
            "longest_s": round(self.longest_s, 3),
            "repeated": self.repeated,
            "lost": self.lost,
            "lost_window_s": round(max(self.lost_window_s, 0.0), 3),
        }


def judge(
    load: Load,
    url: str,
    copies: Sequence[Copy] = (),
    *,
    losses: Sequence[Loss] = (),
    may_break: bool = False,
    may_repeat: bool = True,
    beside: str = "nobody's",
    expiry_slack_ms: int = 0,
    **settings: str,
) -> Measured:
    """Stops the load and checks everything.

    Args:
        url: where the service keeps its data.
        losses: what may be missing.
        may_break: whether connections of clients may end without an answer, as they do where a
            copy was killed.
        may_repeat: whether the service may have had to try again, without seeing the answer to
            its first try: then the outcome is `duplicate` though this heartbeat was written.
        expiry_slack_ms: see tests/invariants.py.
        beside: what the ids of sessions begin with that are not the load's.
    """
    load.stop()
    acks = load.acks
    for ack in acks:
        check_answer(ack, load.lag_s, may_break=may_break)
    for look in load.looked:
        assert look.took < ANSWER_WITHIN_S + ALLOWANCE_S + load.lag_s, look
        assert look.status in (200, 503) or (look.status == BROKEN and may_break), look
    for copy in copies:
        check_log(copy)
    kept = asyncio.run(
        _look_at_redis(url, sorted({ack.site for ack in acks}), settings, expiry_slack_ms)
    )
    repeated = sum(
        replay(session, own, kept.paths.get(session), losses) for session, own in by_session(acks)
    )
    assert may_repeat or not repeated, f"{repeated} answers were not to the first try"
    views = Counter({view: n for view, n in kept.views.items() if not view[0].startswith(beside)})
    lost = check_views(acks, views, losses)
    doctor_finds_nothing(url, **settings)
    return Measured(
        len(acks),
        sum(not ack.is_written for ack in acks),
        max(ack.took for ack in acks),
        repeated,
        len(lost),
        max((loss.begun - ack.ended for ack in lost for loss in losses), default=0.0),
    )


def check_answer(ack: Ack, lag_s: float = 0.0, *, may_break: bool = False) -> None:
    """Each answer is 204, or 503 as it should be; in time, either way."""
    assert ack.took < ANSWER_WITHIN_S + ALLOWANCE_S + lag_s, ack
    if ack.status == BROKEN and may_break:
        return
    assert ack.status in (204, 503), ack
    if ack.status == 503:
        assert ack.headers["content-type"] == "application/problem+json", ack
        assert int(ack.headers["retry-after"]) >= 1, ack
        assert b'"status":503' in ack.body, ack
    else:
        assert ack.outcome in ("created", "moved", "duplicate"), ack


def check_log(copy: Copy) -> None:
    """Nothing that nobody thought of."""
    for word in ("unexpected_error", "waiter_failed", "sweep_failed", "poller_failed", "Traceback"):
        assert word not in copy.log, copy.log[-3000:]


def replay(session: str, acks: Sequence[Ack], path: str | None, losses: Sequence[Loss]) -> int:
    """Replays one session's heartbeats; `path`: where Redis has it in the end. How many of them
    can only have been answered after a second try."""
    repeated = 0
    possible: set[str | None] = {None}
    unsure: set[str | None] = set()
    history: list[tuple[float, frozenset[str | None]]] = [(0.0, frozenset(possible))]
    told_of: set[Loss] = set()
    for ack in acks:
        for loss in losses:
            if ack.ended >= loss.begun and loss not in told_of:
                possible |= _may_be_back(history, loss)
                if ack.begun > loss.over:
                    told_of.add(loss)
        if ack.is_written:
            told = {q for q in possible if _outcome(q, ack.path) == ack.outcome}
            if not told and ack.outcome == "duplicate":
                repeated += 1
            else:
                assert told, f"{ack} does not fit: {session} was on one of {possible}"
            possible = {ack.path, *unsure}
        else:
            unsure.add(ack.path)
            possible |= unsure
        history.append((ack.ended, frozenset(possible)))
    for loss in set(losses) - told_of:
        possible |= _may_be_back(history, loss)
    assert path in possible, f"{session} is on {path}, and should be on one of {possible}"
    return repeated


def _may_be_back(
    history: Sequence[tuple[float, frozenset[str | None]]], loss: Loss
) -> set[str | None]:
    """Where a session may be found that was set back to a moment of the loss."""
    before = [states for ended, states in history if ended < loss.since][-1:]
    during = [states for ended, states in history if ended >= loss.since]
    return {path for states in (*before, *during) for path in states}


_RULES = StoreConfig(
    heartbeat_dedup_ms=3_000_000, session_timeout_ms=8_000_000, view_dedup_ms=8_000_000
)


def _outcome(origin: str | None, path: str) -> str:
    """What the model says to a heartbeat of a session that is on `origin`."""
    site = Site(_RULES)
    if origin is not None:
        site.heartbeat(_NOW, "session", origin)
    return site.heartbeat(_NOW, "session", path)


def check_views(
    acks: Iterable[Ack], views: Counter[tuple[str, str]], losses: Sequence[Loss]
) -> list[Ack]:
    """No view is counted twice, none was invented, and none is missing that was acknowledged;
    those that are missing as they may be."""
    twice = {view: count for view, count in views.items() if count > 1}
    assert not twice, f"counted twice: {twice}"
    log = list(acks)
    invented = views.keys() - {(ack.session, ack.path) for ack in log}
    assert not invented, f"never sent: {invented}"
    lost = [ack for ack in log if ack.is_written and (ack.session, ack.path) not in views]
    for ack in lost:
        # One that was under way while it was lost may have been answered a moment later.
        assert any(loss.since <= ack.ended and ack.begun <= loss.over for loss in losses), (
            f"{ack} was acknowledged, and is lost"
        )
    return lost


class _Kept(NamedTuple):
    paths: dict[str, str]  # session -> path
    views: Counter[tuple[str, str]]  # session and path -> times counted


async def _look_at_redis(
    url: str, sites: Sequence[str], settings: dict[str, str], slack_ms: int
) -> _Kept:
    given = Settings.from_env(
        {k: v for k, v in environ_of(url, **settings).items() if k.startswith("PRESENCE_")}
    )
    store = patient_store(url, Keys(given.key_prefix, given.shards), store_config_of(given))
    paths: dict[str, str] = {}
    views: Counter[tuple[str, str]] = Counter()
    try:
        await store.layouts.learn()
        for site in sites:
            seconds, micros = await _any_time(store)
            now = seconds * 1000 + micros // 1000
            await invariants.check(store, site, now, expiry_slack_ms=slack_ms)
            client: Any = store.connection.client
            for keys in store.keys.with_logs(site):
                for member in await client.zrange(keys.active, 0, -1):
                    session, _, path = member.split(" ", 2)
                    paths[session] = path
                for _, view in await client.xrange(keys.views):
                    views[view["session"], view["path"]] += 1
    finally:
        await store.close()
    return _Kept(paths, views)


async def _any_time(store: Any) -> tuple[int, int]:
    client = store.connection.client
    if store.connection.topology != "cluster":
        seconds, micros = await client.time()
        return int(seconds), int(micros)
    await client.initialize()
    seconds, micros = await client.time(target_nodes=client.get_primaries()[0])
    return int(seconds), int(micros)


def doctor_finds_nothing(url: str, **settings: str) -> None:
    """`presence doctor` is content."""
    result = doctor(url, **settings)
    assert result.exit_code == 0, result.output


def doctor(url: str, *options: str, **settings: str) -> Result:
    """`presence doctor`, as an operator runs it."""
    return CliRunner().invoke(main, ["doctor", *options], env=dict(environ_of(url, **settings)))
