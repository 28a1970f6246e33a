"""A primary under Sentinels dies."""

import time
from typing import Any

import pytest

from tests import servers
from tests.faults.copies import copies
from tests.faults.load import Load
from tests.faults.verdict import ALLOWANCE_S, Loss, judge

DOWN_AFTER_S = 1.0
FAILOVER_S = 5.0
REPLICATION_LAG_S = 1.0  # what a primary may have acknowledged that no replica knew of yet


@pytest.mark.fault("F13")
@pytest.mark.parametrize("kind", ["valkey", "redis7"])
def test_failover(kind: str, measured: dict[str, Any]) -> None:
    with (
        servers.guarded(kind, down_after_ms=int(DOWN_AFTER_S * 1000)) as guarded,
        copies(1, guarded.url) as (copy,),
        Load([copy.port], looks=("/livez",)) as load,
    ):
        died = time.monotonic()
        guarded.primary.kill()
        load.fail()
        recovery = load.recovers(since=died)
        recovered = died + recovery
        assert recovery < DOWN_AFTER_S + FAILOVER_S + ALLOWANCE_S + load.lag_s
        first = min(ack.ended for ack in load.acks if ack.is_written and ack.begun > died)
        load.more(300)
        livez_s = load.livez_was_well(ALLOWANCE_S)
        late = load.failed(first)
        loss = Loss(died - REPLICATION_LAG_S, died, recovered)
        figures = judge(load, guarded.url, [copy], losses=[loss])
        assert not late
    measured |= figures.as_dict() | {"recovery_s": recovery, "livez_s": livez_s}
