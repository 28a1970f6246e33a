"""Faults of a cluster of three primaries, each with a replica."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis.crc import key_slot

from tests import servers
from tests.faults.copies import Copy, copies
from tests.faults.load import Load
from tests.faults.verdict import Loss, judge
from tests.servers import Server, cluster_url, node_id, wait_until

PRIMARIES = 3


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[list[Server], Copy]]:
    """A cluster, and a copy of the service that outlives all faults of this file."""
    with (
        servers.cluster(replicas=3) as nodes,
        copies(1, cluster_url(nodes)) as (copy,),
    ):
        yield nodes, copy


@pytest.fixture
def nodes(shared: tuple[list[Server], Copy]) -> list[Server]:
    nodes, _ = shared
    for node in nodes:
        if node.client.role()[0] == "master":
            node.client.flushall()
    wait_until(lambda: len({str(slots_of(node)) for node in nodes}) == 1, what="agreement")
    return nodes


@pytest.fixture
def copy(shared: tuple[list[Server], Copy]) -> Copy:
    return shared[1]


def sites_of(nodes: list[Server]) -> list[str]:
    """A site on each of the primaries, in their order."""
    found: dict[int, str] = {}
    for site in (f"site-{n}" for n in range(1000)):
        holder = holder_of(key_slot(site.encode()), nodes)
        found.setdefault(holder.port, site)
        if len(found) == PRIMARIES:
            break
    return [found[node.port] for node in nodes[:PRIMARIES]]


def move_slot(slot: int, source: Server, target: Server, nodes: list[Server]) -> None:
    """As `redis-cli --cluster reshard` does it."""
    target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", node_id(source))
    source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", node_id(target))
    while keys := source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 50):
        source.client.execute_command(
            "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys
        )
    for node in (target, source, *nodes):
        if node.client.role()[0] == "master":
            node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", node_id(target))


@pytest.mark.fault("F15")
def test_slots_move(nodes: list[Server], copy: Copy, measured: dict[str, Any]) -> None:
    sites = sites_of(nodes)
    with Load([copy.port], sites=sites) as load:
        moves = 0
        longest = 0.0
        for site in sites[:2] * 3:
            slot = key_slot(site.encode())
            holder = holder_of(slot, nodes)
            others = [node for node in nodes[:PRIMARIES] if node is not holder]
            begun = time.monotonic()
            move_slot(slot, holder, others[moves % 2], nodes[:PRIMARIES])
            longest = max(longest, time.monotonic() - begun)
            moves += 1
            load.more(50)
        figures = judge(load, cluster_url(nodes), [copy], may_repeat=False, expiry_slack_ms=5_000)
    assert not figures.failures
    measured |= figures.as_dict() | {"moves": moves, "longest_move_s": longest}


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
def test_a_primary_dies(nodes: list[Server], copy: Copy, measured: dict[str, Any]) -> None:
    sites = sites_of(nodes)
    with Load([copy.port], sites=sites) as load:
        died = time.monotonic()
        nodes[0].kill()
        load.until(lambda: load.failed(died + 0.1, sites[0]))
        wait_until(lambda: nodes[3].client.role()[0] == "master", 30, "the failover")
        promoted = time.monotonic()
        recovery = load.recovers(since=died)
        load.more()
        for site in sites[1:]:
            assert not load.failed(0.0, site), f"{site} has nothing to do with it"
        assert load.failed(died, sites[0])
        loss = Loss(died - 1.0, died, promoted)
        alive = nodes[1:]
        figures = judge(load, cluster_url(alive), [copy], losses=[loss])
        longest = max(ack.took for ack in load.acks if ack.site != sites[0])
    measured |= figures.as_dict() | {
        "recovery_s": recovery,
        "failover_s": promoted - died,
        "longest_of_others_s": longest,
    }
