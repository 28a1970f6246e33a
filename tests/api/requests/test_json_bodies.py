"""What is not a JSON object, and members that are there twice."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.requests.batches import decode_batch
from service.api.requests.heartbeats import HeartbeatBody, decode_heartbeat
from service.api.requests.leaves import decode_leave
from service.api.requests.page_views import decode_view
from service.errors import FieldError, RequestError
from tests.api.requests.bodies import BEAT


def _decode_batch(body: bytes) -> Any:
    return asyncio.run(decode_batch(body))


NO_OBJECTS = {
    "nothing": b"",
    "blank": b" ",
    "broken": b'{"sessionId":',
    "null": b"null",
    "array": b"[]",
    "text": b'"x"',
    "number": b"1",
    "single quotes": b"{'a': 1}",
    "comma at the end": b"{%s,}" % BEAT.encode(),
    "two documents": b"{%s}{}" % BEAT.encode(),
    "NaN": b'{%s,"latitude":NaN}' % BEAT.encode(),
    "Infinity": b'{%s,"latitude":Infinity}' % BEAT.encode(),
    "NaN where nobody looks": b'{%s,"other":NaN}' % BEAT.encode(),
    "byte order mark": b"\xef\xbb\xbf{%s}" % BEAT.encode(),
    "UTF-16": f"{{{BEAT}}}".encode("utf-16"),
    "broken UTF-8": b'{%s,"city":"\xff"}' % BEAT.encode(),
    "surrogate as UTF-8": b'{%s,"city":"\xed\xa0\x80"}' % BEAT.encode(),
    "10,000 arrays": b"[" * 10_000 + b"]" * 10_000,
    "10,000 levels": b'{%s,"x":' % BEAT.encode() + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "100,000 levels": b'{"x":' * 100_000,
}


@pytest.mark.parametrize("given", NO_OBJECTS.values(), ids=NO_OBJECTS.keys())
@pytest.mark.parametrize(
    "decode",
    [decode_heartbeat, _decode_batch, decode_leave, decode_view],
)
def test_what_is_no_json_object(decode: Callable[[bytes], Any], given: bytes) -> None:
    with pytest.raises(RequestError) as raised:
        decode(given)
    assert raised.value.status in (400, 422)
    if decode is decode_heartbeat:
        assert raised.value.status == 400
        assert "not a JSON object" in raised.value.detail


@pytest.mark.parametrize(
    "given, field",
    [
        (b'{"sessionId":"x",%s}' % BEAT.encode(), "sessionId"),
        (b'{%s,"currentPath":"/b"}' % BEAT.encode(), "currentPath"),
        (b'{%s,"country":"DE","country":"FR"}' % BEAT.encode(), "country"),
        (b'{%s,"x":{"y":1,"y":2}}' % BEAT.encode(), "y"),
    ],
)
def test_a_member_twice_is_refused(given: bytes, field: str) -> None:
    with pytest.raises(FieldError) as raised:
        decode_heartbeat(given)
    assert raised.value.field == field


_VALUES: dict[str, list[Any]] = {
    "sessionId": ["s" * 16, "t" * 16],
    "currentPath": ["/", "/a", '/a"b', "/a?q", '/"'],
    "pageType": ["blog", None],
    "referrer": ["https://example.org/x", "", '"', None],
    "country": ["de", None],
    "city": ["Köln", 'a "town"', "", None],
    "latitude": [1, -0.5, None],
    "longitude": [2.5, None],
    "other": ["x", '"', None, {"a": "b"}, {}],
}
_members = st.lists(
    st.sampled_from(sorted(_VALUES)).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(_VALUES[name]))
    ),
    max_size=8,
)


@given(_members, st.permutations(["sessionId", "currentPath"]), st.booleans())
def test_no_member_that_is_there_twice_is_overlooked(
    more: list[tuple[str, Any]], needed: list[str], is_batch: bool
) -> None:
    members = [(name, _VALUES[name][0]) for name in needed] + more
    text = ",".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in members)
    is_twice = len({name for name, _ in members}) < len(members)
    try:
        if is_batch:
            body = f'{{"heartbeats": [{{{text}}}, {{{BEAT}}}]}}'.encode()
            first, second = _decode_batch(body)
            assert isinstance(second, HeartbeatBody)
            refused = isinstance(first, FieldError)
        else:
            decode_heartbeat(f"{{{text}}}".encode())
            refused = False
    except FieldError:
        refused = True
    assert refused == is_twice


@pytest.mark.parametrize(
    "given, what",
    [("5", "a number"), ("1.5", "a number"), ("[]", "an array"), ("{}", "an object"),
     ("true", "true or false")],
)  # fmt: skip
@pytest.mark.parametrize(
    "decode, name", [(decode_leave, "currentPath"), (decode_heartbeat, "userToken")]
)
def test_what_is_no_string(
    decode: Callable[[bytes], Any], name: str, given: str, what: str
) -> None:
    body = json.dumps(json.loads(f"{{{BEAT}}}") | {name: json.loads(given)}).encode()
    with pytest.raises(FieldError) as raised:
        decode(body)
    assert raised.value.detail == f"{name} must be a string, not {what}"
