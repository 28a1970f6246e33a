"""A thousand heartbeats of full length fit a batch, B31, and not all of memory."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.body_budget import BodyBudget
from service.api.requests.batches import MAX_BATCH_BODY_BYTES
from service.api.requests.heartbeats import BatchHeartbeat
from service.errors import StoreBusy
from service.server.fallback_protocol import AsgiProtocol
from service.server.fast_path import FastPathProtocol
from tests.api.batches import FULL, FULL_USER, full_batch
from tests.server.test_fast_path import CLOSING, request, serving

BATCH = "/v1/sites/blog/heartbeats"
BEARER = "Authorization: Bearer a long random string"
SITES = """
[blog]
token = "a long random string"
user_secrets = ["a secret of at least thirty-two bytes"]
"""


def test_no_member_is_forgotten() -> None:
    members = {field.name for field in msgspec.structs.fields(BatchHeartbeat)}
    assert {*FULL, *FULL_USER} == members - {"userToken"}


@pytest.mark.fault("B31")
@pytest.mark.parametrize("protocol", [FastPathProtocol, AsgiProtocol])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_thousand_of_full_length(
    protocol: type[HttpToolsProtocol], is_chunked: bool, tmp_path: Path
) -> None:
    (tmp_path / "sites.toml").write_text(SITES)
    body = full_batch(FULL_USER)
    assert MAX_BATCH_BODY_BYTES * 0.9 < len(body) <= MAX_BATCH_BODY_BYTES
    more = ["Transfer-Encoding: chunked"] if is_chunked else []
    sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if is_chunked else body
    async with serving(protocol, SITES_FILE=str(tmp_path / "sites.toml")) as served:
        reader, writer = await served.connect()
        writer.write(request(sent, BEARER, "Connection: close", *more, target=BATCH))
        head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), answer
        assert json.loads(answer) == {"results": ["created"] * 1000, "errors": []}
        writer.close()
        assert served.app.state.context.backend_bodies.held == 0


@pytest.mark.fault("B1")
@pytest.mark.parametrize("protocol", [FastPathProtocol, AsgiProtocol])
async def test_so_many_bodies_at_once(protocol: type[HttpToolsProtocol]) -> None:
    """Those beyond are refused; others are served, and what was held is given back."""
    async with serving(protocol) as served:
        budget: BodyBudget = served.app.state.context.open_bodies
        budget._most = 100_000
        slow_reader, slow_writer = await served.connect()
        slow_writer.write(request(b" " * 60_000, target=BATCH, length=90_000))
        while not budget.held >= 60_000:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        reader, writer = await served.connect()
        writer.write(request(b" " * 60_000, "Connection: close", target=BATCH))
        refused = await reader.read()
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in refused
        assert b"too many large batches at once" in refused
        writer.close()
        reader, writer = await served.connect()
        writer.write(CLOSING)
        assert (await reader.read()).startswith(b"HTTP/1.1 204 ")
        writer.close()
        slow_writer.write(b" " * 30_000)
        assert (await slow_reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        slow_writer.close()
        assert budget.held == 0


def test_what_was_taken_is_given_back() -> None:
    budget = BodyBudget(10)
    with budget.counted() as take:
        take(6)
        with budget.counted() as other:
            other(4)
            with pytest.raises(StoreBusy):
                other(1)
        assert budget.held == 6
        take(4)
    assert budget.held == 0
