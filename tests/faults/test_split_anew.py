"""A site is split anew under load, with copies that are killed and frozen meanwhile."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from service.cli import main
from service.redis.client import DEADLINE_S
from tests import plain
from tests.faults.copies import Copy, copies, environ_of
from tests.faults.load import BROKEN, Load
from tests.faults.verdict import judge
from tests.servers import Server, cluster, cluster_url

CLIENTS, SESSIONS = 12, 4


@pytest.fixture(params=["valkey", "cluster"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """One server, and three that share the slots."""
    if request.param == "cluster":
        with cluster() as nodes:
            yield cluster_url(nodes)
    else:
        with Server("valkey") as server:
            yield server.url


class Counted(threading.Thread):
    """Asks a copy again and again for a number of the site: how many are here, unless said."""

    def __init__(self, copy: Copy, path: str = "active", name: str = "activeVisitors") -> None:
        super().__init__()
        self.url = f"{copy.url}/v1/sites/blog/{path}"
        self.name_of_number = name
        self.seen: list[int] = []
        self.statuses: set[int] = set()
        self._is_over = threading.Event()

    def run(self) -> None:
        """Until it is stopped."""
        with plain.Client() as client:
            while not self._is_over.wait(0.02):
                reply = client.get(self.url)
                self.statuses.add(reply.status_code)
                if reply.status_code == 200:
                    self.seen.append(reply.json()[self.name_of_number])

    def stop(self) -> None:
        """After the answer that it waits for."""
        self._is_over.set()
        self.join()


def split(url: str, number: int | str) -> str:
    """As an operator does it; `--compact` instead of a number folds."""
    result = CliRunner().invoke(main, ["shards", "blog", str(number)], env=dict(environ_of(url)))
    assert result.exit_code == 0, result.output
    return result.output


def test_a_site_is_split_anew_under_load(url: str) -> None:
    with copies(3, url) as made:
        killed, frozen, steady = made
        ports = [copy.port for copy in made]
        with Load(ports, clients=CLIENTS, sessions=SESSIONS) as load:
            load.until(lambda: len({a.session for a in load.acks}) == CLIENTS * SESSIONS)
            load.more(200)
            counted = Counted(steady)
            counted.start()
            assert split(url, 4) == "blog: 4 shards; before: 1\n"
            load.more(60)
            killed.kill()
            load.more(100)
            assert frozen.process
            os.kill(frozen.process.pid, signal.SIGSTOP)
            assert split(url, 3) == "blog: 3 shards; before: 4, 1\n"
            load.more(100)
            os.kill(frozen.process.pid, signal.SIGCONT)
            load.more(300)
            counted.stop()
            load.stop()
            took = sorted(ack.took for ack in load.acks if ack.status != BROKEN)
            broken = [ack for ack in load.acks if ack.status == BROKEN]
            stats = plain.get(f"{steady.url}/v1/sites/blog/stats").json()
            figures = judge(load, url, [frozen, steady], may_break=True)
    everybody = CLIENTS * SESSIONS
    assert counted.statuses == {200}
    # A session that is being carried counts twice, within its call; of a copy that was killed or
    # given up in between, until it times out.
    assert min(counted.seen) >= everybody
    assert max(counted.seen) <= everybody + CLIENTS
    written = {(ack.session, ack.path) for ack in load.acks if ack.is_written}
    assert stats["totalPageViews"] >= len(written)
    assert took[int(len(took) * 0.99)] < DEADLINE_S + load.lag_s
    print(figures, len(broken), took[-1], min(counted.seen), max(counted.seen))
