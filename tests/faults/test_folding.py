"""What earlier shards have counted is folded under load, while one of the copies is frozen."""

import os
import signal
import time
from typing import Any

from redis import Redis
from redis.cluster import RedisCluster

from service.redis_url import RedisUrl
from service.store.layout import SiteLayouts
from tests import plain
from tests.faults.copies import copies
from tests.faults.load import Load
from tests.faults.test_split_anew import CLIENTS, SESSIONS, Counted, split, url
from tests.faults.verdict import judge

__all__ = ["url"]  # one server, and a cluster


class Registry:
    """The layouts of the site in Redis, and who is in earlier ones still."""

    def __init__(self, url: str) -> None:
        (host, port), *_ = RedisUrl.parse(url).hosts
        kind = RedisCluster if "cluster" in url else Redis
        self._client: Any = kind(host=host, port=port, decode_responses=True)

    def someone_is_before(self) -> bool:
        """Whether a session has not moved yet."""
        names = [*self._client.scan_iter("presence:{blog*}:retired_active")]
        return any(self._client.zcard(name) for name in names)

    def views_logged(self) -> int:
        """How many views all logs have, of which the load's judge says whether they are right."""
        return sum(map(self._client.xlen, self._client.scan_iter("presence:{blog*}:views")))

    def make_older(self, by_ms: int = 86_400_000) -> None:
        """As if the changes had been long ago."""
        known = SiteLayouts.parse(self._client.hget("presence:layouts", "blog"))
        older = (one._replace(since_ms=one.since_ms - by_ms) for one in known.in_force)
        text = str(known._replace(in_force=tuple(older)))
        self._client.hset("presence:layouts", "blog", text)


def test_a_site_is_folded_under_load(url: str) -> None:
    """No answer in between lacks a view, or has one twice; the copy that was frozen asks again."""
    with copies(3, url) as made:
        frozen, steady, other = made
        registry = Registry(url)
        with Load([copy.port for copy in made], clients=CLIENTS, sessions=SESSIONS) as load:
            load.more(200)
            for number in (4, 3):
                split(url, number)
                load.more(100)
                load.until(lambda: not registry.someone_is_before())
            registry.make_older()
            counted = [
                Counted(copy, *what)
                for copy in (steady, other)
                for what in ((), ("stats", "totalPageViews"), ("stats", "activeVisitors"))
            ]
            for one in counted:
                one.start()
            load.more(100)
            views = stats_of(steady.url)["totalPageViews"]
            assert frozen.process
            stopped_at = time.monotonic()
            os.kill(frozen.process.pid, signal.SIGSTOP)
            assert split(url, "--compact") == "blog: 3 shards; folded into one: 4, 1\n"
            load.more(50)
            os.kill(frozen.process.pid, signal.SIGCONT)
            load.lag_s += time.monotonic() - stopped_at  # of those who asked that copy
            told = stats_of(frozen.url)
            load.more(200)
            for one in counted:
                one.stop()
            load.stop()
            stats, logged = [stats_of(copy.url) for copy in made], registry.views_logged()
            judge(load, url, made, may_break=True)
    everybody = CLIENTS * SESSIONS
    for one in counted:
        assert one.statuses == {200}
        if one.name_of_number == "activeVisitors":
            assert set(one.seen) == {everybody}
        else:
            assert one.seen == sorted(one.seen)
            assert one.seen[-1] <= len({(ack.session, ack.path) for ack in load.acks})
    assert told["totalPageViews"] >= views
    assert {one["totalPageViews"] for one in stats} == {logged}


def stats_of(url: str) -> Any:
    """A snapshot, as a copy answers it."""
    return plain.get(f"{url}/v1/sites/blog/stats").json()
