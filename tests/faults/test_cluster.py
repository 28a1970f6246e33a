"""Faults of a cluster of three primaries, each with a replica."""

import asyncio
import random
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from redis.crc import key_slot

from service.store.batching.lane import OPEN_S
from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.writer import Heartbeat
from tests import plain, servers
from tests.conftest import patient_store
from tests.faults.copies import ADMIN_TOKEN, Copy, copies
from tests.faults.load import Load
from tests.faults.verdict import ALLOWANCE_S, ANSWER_WITHIN_S, Loss, doctor, judge
from tests.servers import Server, cluster_url, node_id, wait_until

PATIENCE_S = 1.8  # for so long a heartbeat waits for the end of a move, as docs/topologies.md says
LAST_PAUSE_S = 0.08  # so late that end may be noticed
NOTICED_S = 0.35  # no answer takes so long where nothing is waited for
# After the failover: an answer that was waited for all in vain, and the next.
RECOVERY_S = ANSWER_WITHIN_S + ALLOWANCE_S


@pytest.fixture(scope="module", params=["valkey", "redis7"])
def shared(request: pytest.FixtureRequest) -> Iterator[tuple[list[Server], Copy]]:
    """A cluster, and a copy of the service that outlives all faults of this file."""
    with (
        servers.cluster(request.param, replicas=3) as nodes,
        copies(1, cluster_url(nodes)) as (copy,),
    ):
        yield nodes, copy


@pytest.fixture
def nodes(shared: tuple[list[Server], Copy]) -> list[Server]:
    nodes, _ = shared
    wait_until(lambda: len({str(slots_of(node)) for node in nodes}) == 1, what="agreement")
    for node in primaries(nodes):
        node.client.flushall()
    return nodes


@pytest.fixture
def copy(shared: tuple[list[Server], Copy]) -> Copy:
    return shared[1]


def primaries(nodes: list[Server]) -> list[Server]:
    """Those that hold slots."""
    holding = {port for _, _, port in slots_of(nodes[-1])}
    return [node for node in nodes if node.port in holding]


def sites_of(holders: list[Server]) -> list[str]:
    """A site of each of these primaries, in their order."""
    found: dict[int, str] = {}
    for site in (f"site-{n}" for n in range(1000)):
        found.setdefault(holder_of(key_slot(site.encode()), holders).port, site)
    return [found[node.port] for node in holders]


def neighbour_of(site: str, holders: list[Server]) -> str:
    """A site of the same primary with another slot."""
    slot = key_slot(site.encode())
    holder = holder_of(slot, holders)
    return next(
        other
        for other in (f"neighbour-{n}" for n in range(1000))
        if (found := key_slot(other.encode())) != slot and holder_of(found, holders) is holder
    )


def move_slot(
    slot: int,
    source: Server,
    target: Server,
    nodes: list[Server],
    chance: random.Random | None = None,
) -> None:
    """As `redis-cli --cluster reshard` does it; by chance in steps of 5 to 50 keys."""
    target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", node_id(source))
    source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", node_id(target))
    while keys := source.client.execute_command(
        "CLUSTER", "GETKEYSINSLOT", slot, chance.randint(5, 50) if chance else 50
    ):
        source.client.execute_command(
            "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys
        )
    for node in (target, source, *nodes):
        node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", node_id(target))


@pytest.mark.fault("F15")
def test_slots_move(nodes: list[Server], copy: Copy, measured: dict[str, Any]) -> None:
    holders = primaries(nodes)
    sites = sites_of(holders)
    with Load([copy.port], sites=sites) as load:
        moves = 0
        longest = 0.0
        for site in sites[:2] * 3:
            slot = key_slot(site.encode())
            holder = holder_of(slot, holders)
            others = [node for node in holders if node is not holder]
            begun = time.monotonic()
            move_slot(slot, holder, others[moves % 2], holders)
            longest = max(longest, time.monotonic() - begun)
            moves += 1
            load.more(50)
        figures = judge(load, cluster_url(nodes), [copy], may_repeat=False, expiry_slack_ms=5_000)
    assert not figures.failures
    measured |= figures.as_dict() | {"moves": moves, "longest_move_s": longest}


@pytest.mark.fault("F26")
def test_a_slot_moves_slowly(nodes: list[Server], copy: Copy, measured: dict[str, Any]) -> None:
    """A call needs all its keys on one node, and those of somebody new are nowhere: it can only
    wait for the end of the move. What is answered is right, what cannot be was waited for, and
    nobody else waits."""
    holders = primaries(nodes)
    own, *unconcerned = sites_of(holders)
    unconcerned.append(neighbour_of(own, holders))
    asyncio.run(_crowd(cluster_url(nodes), own, 20_000))
    source, target, *_ = holders
    with Load([copy.port], sites=(own, *unconcerned)) as load:
        begun = time.monotonic()
        move_slot(key_slot(own.encode()), source, target, holders, random.Random(26))
        over = time.monotonic()
        load.recovers(since=over)
        load.more(50)
        assert not load.failed(over, own), "each answer is right afterwards"
        figures = judge(load, cluster_url(nodes), [copy], may_repeat=False, expiry_slack_ms=5_000)
    for site in unconcerned:
        assert not load.failed(0.0, site), f"{site} has nothing to do with it"
    for ack in load.failed():
        assert ack.took > PATIENCE_S - OPEN_S - load.lag_s, ack
        assert ack.took < ANSWER_WITHIN_S + load.lag_s, ack
    if over - begun < PATIENCE_S - LAST_PAUSE_S:
        assert not load.failed(), over - begun
    longest = max(ack.took for ack in load.acks if ack.site != own)
    assert longest < NOTICED_S + load.lag_s
    measured |= figures.as_dict() | {
        "longest_move_s": over - begun,
        "longest_of_others_s": longest,
    }


async def _crowd(url: str, site: str, count: int) -> None:
    """Sessions that are there and do nothing; the load's verdict leaves them out."""
    rules = StoreConfig(
        session_timeout_ms=8_000_000,
        view_dedup_ms=8_000_000,
        events_maxlen=1_000_000,
        views_maxlen=1_000_000,
    )
    store = patient_store(url, Keys("presence"), rules)
    chunk = 1_000
    for _ in range(0, count, chunk):
        beats = [Heartbeat(f"nobody's-{uuid.uuid4()}", "/", "", "", "") for _ in range(chunk)]
        assert await store.heartbeats(site, beats) == ["created"] * chunk
    await store.close()


@pytest.mark.fault("F25")
def test_a_node_is_taken_for_one_server(nodes: list[Server], measured: dict[str, Any]) -> None:
    says = "this is a cluster: use redis+cluster://"
    for node in primaries(nodes):
        with copies(1, node.url) as (copy,):
            assert f"warning: {says}" in copy.log
            answer = plain.get(f"{copy.url}/readyz")
            assert (answer.status_code, answer.json()["detail"]) == (503, says)
            operator = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
            refused = {
                plain.get(f"{copy.url}/v1/sites/site-{n}/stats", headers=operator).text
                for n in range(20)
            }
            assert any(says in text for text in refused)
            assert not any("Redis answers" in text for text in refused)
        found = doctor(node.url)
        assert found.exit_code == 1
        assert says in found.output
    measured["nodes"] = len(primaries(nodes))


def slots_of(node: Server) -> list[tuple[int, int, int]]:
    """Ranges of slots and the port of their primary, as a node sees them."""
    reply = node.client.execute_command("CLUSTER", "SLOTS")
    return sorted((first, last, primary[1]) for first, last, primary, *_ in reply)


def holder_of(slot: int, nodes: list[Server]) -> Server:
    """The primary that holds a slot."""
    for first, last, port in slots_of(nodes[0]):
        if first <= slot <= last:
            return next(node for node in nodes if node.port == port)
    raise AssertionError(f"nobody holds {slot}")


@pytest.mark.fault("F14")
@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_a_primary_dies(
    nodes: list[Server], copy: Copy, how: str, measured: dict[str, Any]
) -> None:
    victim = nodes[0 if how == "killed" else 1]
    heir = nodes[nodes.index(victim) + 3]
    others = [node for node in primaries(nodes) if node is not victim]
    own, *unconcerned = sites_of([victim, *others])
    with Load([copy.port], sites=(own, *unconcerned)) as load:
        died = time.monotonic()
        try:
            if how == "killed":
                victim.kill()
            else:
                victim.freeze()
            load.until(lambda: load.failed(died + 0.1, own))
            wait_until(lambda: heir.client.role()[0] == "master", 30, "the failover")
            promoted = time.monotonic()
            recovery = load.recovers(since=died)
            load.more()
            assert recovery < promoted - died + RECOVERY_S + load.lag_s
            for site in unconcerned:
                assert not load.failed(0.0, site), f"{site} has nothing to do with it"
            loss = Loss(died - 1.0, died, promoted)
            figures = judge(load, cluster_url([heir, *others]), [copy], losses=[loss])
        finally:
            if how == "killed":
                victim.start()
            else:
                victim.thaw()
        longest = max(ack.took for ack in load.acks if ack.site != own)
    measured |= figures.as_dict() | {
        "recovery_s": recovery,
        "failover_s": promoted - died,
        "longest_of_others_s": longest,
    }
