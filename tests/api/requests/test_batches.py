"""What is not a batch, and what of a batch is read."""

import asyncio
import json
from typing import Any

import pytest

from service.api.requests.batches import MAX_BATCH_BODY_BYTES, decode_batch
from service.errors import FieldError, RequestError
from tests.api.requests.bodies import BEAT, S


@pytest.mark.parametrize(
    "heartbeats, field",
    [
        (None, "heartbeats"),
        ({}, "heartbeats"),
        ([{"sessionId": S, "currentPath": "/"}] * 1001, "heartbeats"),
    ],
)
async def test_what_is_no_batch(heartbeats: Any, field: str) -> None:
    with pytest.raises(FieldError) as raised:
        await decode_batch(json.dumps({"heartbeats": heartbeats}).encode())
    assert raised.value.field == field


GOOD = f"{{{BEAT}}}"
MANY = ",".join(f'"{n:x}":0' for n in range(500_000))


@pytest.mark.fault("B31")
@pytest.mark.parametrize(
    "beats, wrong",
    [
        (['{"sessionId":"\\ud800","currentPath":"/"}'], "sessionId"),
        (['{"sessionId":"\\uDC00\\uD800","currentPath":"/"}'], "sessionId"),
        ([GOOD[:-1] + ',"city":"\\ud83d\\ude00"}'], None),
        ([GOOD[:-1] + ',"city":"\\ud83d\\ud83d\\ude00"}'], "city"),
        ([GOOD[:-1] + ',"city":"\\\\ud83d"}'], None),  # a backslash and four letters
        ([GOOD[:-1] + ',"city":"\\\\ud83d\\ude00"}'], "city"),
        ([GOOD[:-1] + ',"city":"\\\\\\ud83d"}'], "city"),
        ([f"{{{MANY}}}"], "heartbeats"),
        ([f"{GOOD[:-1]},{MANY}}}"], "heartbeats"),
        ([f'{GOOD[:-1]},"x":[{"{}," * 100_000}1]}}'], "heartbeats"),
        ([GOOD[:-1] + " " * 50_000 + ',"x":"{}"}'], None),
        (["1"], "heartbeats"),
        (["null"], "heartbeats"),
        (["[]", '"{}"', "true"], "heartbeats"),
        (['"{}"', "{ }"], ""),
        ([GOOD[:-1] + ',"city":"\udcff"}'], "heartbeats"),  # not UTF-8
    ],
)
async def test_one_that_is_wrong_and_its_neighbours(beats: list[str], wrong: str | None) -> None:
    body = f'{{"heartbeats": [{GOOD}, {", ".join([*beats, GOOD])}]}}'.encode(
        errors="surrogateescape"
    )
    assert len(body) < MAX_BATCH_BODY_BYTES
    first, *those, last = await decode_batch(body)
    assert not isinstance(first, RequestError)
    assert first == last
    for item in those:
        assert isinstance(item, RequestError) == (wrong is not None)
        if isinstance(item, RequestError) and wrong:
            assert item.field == wrong
            assert "the body" not in item.detail


@pytest.mark.parametrize(
    "body, field",
    [
        (f'{{"heartbeats":[{GOOD}],"heartbeats":[{GOOD}]}}', "heartbeats"),
        (f'{{"heartbeats":[{{}}],"x":1,"x":{GOOD}}}', "x"),
        (f'{{"heartbeats":[{GOOD}],{MANY}}}', "heartbeats"),
        (f'{{{MANY},"heartbeats":[{{}}]}}', "heartbeats"),
    ],
)
async def test_what_is_beside_the_heartbeats(body: str, field: str) -> None:
    with pytest.raises(FieldError) as raised:
        await decode_batch(body.encode())
    assert raised.value.field == field


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"heartbeats": [{"sessionId": S, "currentPath": "/"}, {}]}, indent=400),
        f'{{"x":{{"heartbeats":[{GOOD}]}},"heartbeats":[{GOOD},{GOOD},1]}}',
        f'{{"x":"[{{}}","heartbeats":[{{}},{GOOD}]}}',
    ],
)
async def test_what_may_be_beside_them(body: str) -> None:
    assert any(not isinstance(item, RequestError) for item in await decode_batch(body.encode()))


@pytest.mark.parametrize(
    "one",
    [
        f'{GOOD[:-1]},"x":[{"[]," * 1500}1]}}',
        '{"sessionId":"%s"}' % ("\\ud800" * 900),
        '{"sessionId":"%s"}' % ("\\ud83d\\ude00" * 400),
    ],
    ids=["members", "lone surrogates", "emoji"],
)
async def test_others_have_their_turn_in_a_long_one(one: str) -> None:
    turns = 0

    async def wait() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(wait())
    assert len(await decode_batch(f'{{"heartbeats":[{",".join([one] * 1000)}]}}'.encode())) == 1000
    other.cancel()
    assert turns > 15
