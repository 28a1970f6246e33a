"""Webhooks of a site that is split anew: what happens in the new shards is told, and what went on
over the change is not."""

from pathlib import Path

from service.store.config import StoreConfig
from service.store.keys import Keys
from service.store.writer import Heartbeat
from tests.conftest import MakeService, patient_store
from tests.servers import Server
from tests.webhooks.conftest import until
from tests.webhooks.receiver import Receiver, sites_file

SESSIONS = [f"session-{n:010d}" for n in range(6)]


async def test_what_happens_in_new_shards_is_told(
    make_service: MakeService, valkey: Server, key_prefix: str, tmp_path: Path
) -> None:
    """Through the store that the app's senders have, which is another than its requests have."""
    file = tmp_path / "sites.toml"
    operator = patient_store(valkey.url, Keys(key_prefix), StoreConfig())
    with Receiver() as receiver:
        file.write_text(
            sites_file(receiver.url, settle=0, events=["site.occupied", "active.above"], above=4)
        )
        service = await make_service(valkey.url, SITES_FILE=str(file))
        beats = [Heartbeat(session, "/a", "", "", "") for session in SESSIONS]
        await service.store.heartbeats("blog", beats[:2])
        await until(lambda: receiver.types == ["site.occupied"])
        await operator.layouts.change("blog", 4)
        await operator.close()
        # Those who are here go on; the others begin in the new shards.
        outcomes = await service.store.heartbeats("blog", beats)
        assert outcomes == ["duplicate"] * 2 + ["created"] * 4
        await until(lambda: len(receiver.types) > 1)
        assert receiver.types == ["site.occupied", "active.above"]
        assert receiver.taken[-1]["activeVisitors"] > 4
