"""How many copies and nodes so many sessions need, by how the balancer chooses a copy, and what
comes of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

from simulation.costs import Costs
from simulation.model import ENOUGH as FULL
from simulation.model import Outcome, Plan, Simulation

BUSY, BUSIEST = 0.7, 0.85  # of a core: in the mean, and where most is to do
INTERVAL_S = 30
PART_RATE = 25_000  # heartbeats a second that are simulated one by one
ROUNDS = 8
SHOCK_S = 5.0
BALANCER_S = 5.0  # deploy/nginx.conf and deploy/haproxy.cfg wait so long
NEAR = 0.93  # of what is wanted
WAYS = {
    "one": "one site, any copy",
    "any": "any copy",
    "site": "the copy by the site",
    "slot": "the copies by the slot",
}


@dataclass(frozen=True)
class Size:
    """A size of service, and what comes of it. With "slot" the plan is of the busiest node and
    the copies that call it alone; there are as many such cells as nodes."""

    sessions: int
    way: str
    copies: int
    nodes: int
    plan: Plan
    outcome: Outcome

    @property
    def calls(self) -> float:
        """Per heartbeat."""
        return self.outcome.calls / self.outcome.sent

    @property
    def connections(self) -> int:
        """Between copies and nodes."""
        return self.copies if self.way == "slot" else self.copies * self.nodes


def run(plan: Plan, costs: Costs) -> Outcome:
    return Simulation(plan, costs).run()


def plan_of(sessions: int, way: str, copies: int, nodes: int, site_sessions: int) -> Plan:
    """Short, so that it can be made again with other numbers."""
    rate, sites = sessions / INTERVAL_S, max(sessions // site_sessions, 1)
    if way == "slot":
        most = ceil(sites / nodes)
        return Plan(rate * most / sites, copies // nodes, sites=most, seconds=0.5, warm_up_s=0.3)
    part = max(1, min(copies, round(PART_RATE * copies / rate)))
    plan = Plan(rate, copies, nodes, sites, part=part, seconds=0.3, warm_up_s=0.2)
    if way == "one":
        return replace(plan, sites=1, shards=nodes)
    return replace(plan, is_by_site=way == "site")


def by_rule(sessions: int, costs: Costs) -> tuple[int, int]:
    """Copies and nodes, were every call as full as one copy's to one node."""
    cores = sessions / INTERVAL_S / BUSY / 1e6
    return (
        ceil(cores * (costs.copy_heartbeat + (costs.copy_call + costs.copy_script) / FULL)),
        ceil(cores * (costs.redis_heartbeat + (costs.redis_call + costs.redis_script) / FULL)),
    )


def size(
    sessions: int,
    way: str,
    costs: Costs,
    site_sessions: int = 10_000,
    say: Callable[[str], object] = lambda said: None,
) -> Size:
    """As few copies and nodes as keep all cores below BUSY, and each below BUSIEST."""
    copies, nodes = by_rule(sessions, costs)
    if way != "slot":  # hardly two heartbeats share a call
        copies, nodes = 4 * copies, 4 * nodes
    found: list[tuple[int, int, Plan]] = []
    for each in (1, 2, 3) if way == "slot" else (0,):  # copies before each node
        more_nodes = more_copies = 0.0
        for _ in range(ROUNDS):
            copies = nodes * each or copies
            say(f"{sessions:,} sessions, {WAYS[way]}: {copies:,} copies, {nodes:,} nodes")
            plan = plan_of(sessions, way, copies, nodes, site_sessions)
            outcome = run(plan, costs)
            # That of a cell is the busiest.
            mean = sessions / INTERVAL_S / nodes / plan.rate if each else 1.0
            more_nodes = max(outcome.nodes_busy * mean / BUSY, outcome.busiest / BUSIEST)
            more_copies = outcome.copies_busy * max(mean / BUSY, 1 / BUSIEST)
            if each:
                more_nodes = max(more_nodes, more_copies)
            if NEAR < more_nodes <= 1 and (each or NEAR < more_copies <= 1):
                break
            nodes, copies = ceil(nodes * more_nodes), ceil(copies * more_copies)
        found.append((copies, nodes, plan))
    copies, nodes, plan = min(found, key=lambda one: one[0] + one[1])
    return Size(
        sessions,
        way,
        copies,
        nodes,
        plan,
        run(replace(plan, seconds=0.5 if plan.part else 2.0), costs),
    )


@dataclass(frozen=True)
class Shock:
    """What comes of something that happens to a service of a size."""

    what: str
    size: Size
    outcome: Outcome

    @property
    def in_time(self) -> float:
        """The share of what was sent that was answered within what a balancer waits."""
        within = sum(seconds <= BALANCER_S for seconds in self.outcome.latencies)
        return within / self.outcome.sent


def shocks(of: Size, costs: Costs) -> list[Shock]:
    """Everybody comes back within some seconds, and a node does not answer for as long."""
    plan = replace(of.plan, warm_up_s=0.0, seconds=4 * SHOCK_S, part=min(of.plan.part, 4))
    all_back = replace(plan, burst=(SHOCK_S, INTERVAL_S / SHOCK_S))
    away = replace(plan, away=(0.0, SHOCK_S))
    return [
        Shock(f"all {of.sessions:,} come back within {SHOCK_S:.0f} s", of, run(all_back, costs)),
        Shock(f"a node is away for {SHOCK_S:.0f} s", of, run(away, costs)),
    ]
