"""What is accepted over the wire, what becomes of it, and what is said of the rest."""

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api import requests
from service.errors import FieldError, RequestError

S = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"


def body(**fields: Any) -> bytes:
    return json.dumps({"sessionId": S, "currentPath": "/"} | fields).encode()


# given -> kept
@pytest.mark.parametrize(
    "given, kept",
    [
        ("/", "/"),
        ("/a", "/a"),
        ("/a/", "/a"),
        ("/a//", "/a"),
        ("/a/b/", "/a/b"),
        ("/a//b", "/a//b"),
        ("/a?token=secret", "/a"),
        ("/a#secret", "/a"),
        ("/a?b#c", "/a"),
        ("/a#b?c", "/a"),
        ("/a/?b", "/a"),
        ("/?b", "/"),
        ("/#b", "/"),
        ("/a?\x00\ud800", "/a"),  # what is cut off is not looked at
        ("/a?https://example.org//x", "/a"),
        ("/with space", "/with space"),
        ("/Köln", "/Köln"),
        ("/日本語", "/日本語"),
        ("/😀", "/😀"),
        ("/<script>", "/<script>"),
        ("/a\\b", "/a\\b"),
        ("/" + "a" * 511, "/" + "a" * 511),
        ("/" + "a" * 511 + "/", "/" + "a" * 511),
        ("/" + "a" * 511 + "?" + "q" * 900, "/" + "a" * 511),
        ("/" + "é" * 255, "/" + "é" * 255),
    ],
)
def test_paths_that_are_kept(given: str, kept: str) -> None:
    assert requests.clean_path(given) == kept
    assert requests.clean_path(kept) == kept


@pytest.mark.fault("B32")
@pytest.mark.parametrize(
    "given, kept",
    [
        ("/caf%C3%A9", "/café"),
        ("/caf%c3%a9", "/café"),
        ("/cafe\u0301", "/café"),
        ("/cafe%CC%81", "/café"),
        ("/\u212b", "/\u00c5"),
        ("/%E6%97%A5%E6%9C%AC", "/日本"),
        ("/%F0%9F%98%80", "/😀"),
        ("/a%20b", "/a b"),
        ("/%61%2Db", "/a-b"),
        ("/%2F%25%3F%23", "/%2F%25%3F%23"),
        ("/a%2fb%3fc", "/a%2Fb%3Fc"),
        ("/a%2F", "/a%2F"),
        ("/caf%E9", "/caf%E9"),  # not UTF-8
        ("/%c3", "/%C3"),
        ("/%ED%A0%80", "/%ED%A0%80"),  # a lone surrogate is not UTF-8
        ("/%C3%A9%E9%2F%C3%A9", "/é%E9%2Fé"),
        ("/%2541", "/%2541"),
        ("/%%34%31", "/A"),
        ("/100%", "/100%"),
        ("/%zz%4", "/%zz%4"),
        ("/%C3%A9?q=%C3", "/é"),
        ("/%C3%A9/", "/é"),
        ("/" + "%C3%A9" * 255, "/" + "é" * 255),  # what is measured is what is kept
        ("/" + "e\u0301" * 255, "/" + "é" * 255),
        ("/❤\ufe0f", "/❤\ufe0f"),
    ],
)
def test_one_page_has_one_name(given: str, kept: str) -> None:
    assert requests.clean_path(given) == kept
    assert requests.clean_path(kept) == kept


@pytest.mark.fault("B32")
@given(
    st.lists(
        st.sampled_from(["%", "2", "5", "f", "4", "1", "C3", "A9", "/", "e", "\u0301", "?"]),
        max_size=30,
    ).map("".join)
)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    try:
        kept = requests.clean_path("/x" + text)
    except ValueError:
        return
    assert requests.clean_path(kept) == kept


_ZERO_WIDTH = (
    "\u00ad\u034f\u115f\u180e\u200b\u200c\u200d\u2060\u2061\u206a"
    "\u3164\ufeff\ufff9\U000e0001\U000e0061"
)


@pytest.mark.fault("B26")
@pytest.mark.parametrize("hidden", _ZERO_WIDTH)
def test_zero_width_characters_are_refused(hidden: str) -> None:
    for path in (f"/a{hidden}b", f"/{hidden}", f"/a{quote(hidden)}"):
        with pytest.raises(ValueError, match="zero-width"):
            requests.clean_path(path)


@pytest.mark.parametrize(
    "given, remedy",
    [
        ("", "exactly one /"),
        ("a", "exactly one /"),
        ("?a", "exactly one /"),
        (" /a", "exactly one /"),
        ("//host", "exactly one /"),
        ("///", "exactly one /"),
        ("/\\host", "exactly one /"),
        ("https://example.org/a", "no scheme and no host"),
        ("javascript:alert(1)", "exactly one /"),
        ("/a\x00", "control characters"),
        ("/a\n", "control characters"),
        ("/a\r\nb", "control characters"),
        ("/a\t", "control characters"),
        ("/a\x7f", "control characters"),
        ("/a\x85", "control characters"),
        ("/a\u2028", "control characters"),
        ("/a\u202eb", "direction overrides"),
        ("/a\u2066b", "direction overrides"),
        ("/a\u200fb", "direction overrides"),
        ("/a\ud800", "lone surrogates"),
        ("/%00", "control characters"),
        ("/a%0Ab", "control characters"),
        ("/a%E2%80%AEb", "direction overrides"),
        ("/%5Chost", "exactly one /"),
        ("/" + "%C3%A9" * 256, "512 bytes"),
        ("/" + "a" * 512, "512 bytes"),
        ("/" + "é" * 256, "512 bytes"),
    ],
)
def test_paths_that_are_refused(given: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        requests.clean_path(given)


@pytest.mark.parametrize(
    "given, kept",
    [
        ("https://Example.ORG/a?token=secret#x", "example.org"),
        ("http://example.org:8080/a", "example.org"),
        ("//example.org/a", "example.org"),
        ("example.org/a", "example.org"),
        ("example.org", "example.org"),
        ("https://user:secret@example.org/", "example.org"),
        ("https://user:se@cret@example.org/", "example.org"),
        ("android-app://com.example.app/", "com.example.app"),
        ("https://münchen.example/", "münchen.example"),
        ("https://example.org\n/", ""),
        ("secret?token=1", ""),
        ("javascript:alert(1)", ""),
        ("<script>", ""),
        ("https://[::1]/", ""),
        ("", ""),
    ],
)
def test_of_referrers_only_the_host_is_kept(given: str, kept: str) -> None:
    assert requests.clean_referrer(given) == kept


@pytest.mark.parametrize(
    "fields, field",
    [
        ({"sessionId": "a" * 15}, "sessionId"),
        ({"sessionId": "a" * 65}, "sessionId"),
        ({"sessionId": S + "\n"}, "sessionId"),
        ({"sessionId": "a" * 20 + " "}, "sessionId"),
        ({"sessionId": "é" * 20}, "sessionId"),
        ({"sessionId": "a" * 16 + ":"}, "sessionId"),
        ({"sessionId": 1234567890123456}, "sessionId"),
        ({"sessionId": None}, "sessionId"),
        ({"sessionId": [S]}, "sessionId"),
        ({"currentPath": "//host"}, "currentPath"),
        ({"currentPath": None}, "currentPath"),
        ({"currentPath": 5}, "currentPath"),
        ({"currentPath": True}, "currentPath"),
        ({"currentPath": ["/"]}, "currentPath"),
        ({"currentPath": {"a": "/"}}, "currentPath"),
        ({"currentPath": "/a\ud800"}, "currentPath"),
        ({"pageType": ""}, "pageType"),
        ({"pageType": "Article"}, "pageType"),
        ({"pageType": "a" * 33}, "pageType"),
        ({"pageType": "a\n"}, "pageType"),
        ({"pageType": 1}, "pageType"),
        ({"referrer": 1}, "referrer"),
        ({"referrer": "a" * 2049}, "referrer"),
        ({"country": "D"}, "country"),
        ({"country": "DEU"}, "country"),
        ({"country": "D1"}, "country"),
        ({"country": "DE\n"}, "country"),
        ({"city": "a" * 65}, "city"),
        ({"city": "a\x00b"}, "city"),
        ({"city": "a\u202eb"}, "city"),
        ({"city": 5}, "city"),
        ({"latitude": 90.1}, "latitude"),
        ({"latitude": -91}, "latitude"),
        ({"latitude": "1"}, "latitude"),
        ({"longitude": 180.5}, "longitude"),
        ({"longitude": True}, "longitude"),
    ],
)
def test_the_field_that_is_wrong_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(FieldError) as raised:
        requests.decode_heartbeat(body(**fields))
    assert (raised.value.status, raised.value.field) == (422, field)
    assert field in raised.value.detail
    assert any(word in raised.value.detail for word in ("must", "missing"))
    assert not any(word in raised.value.detail for word in ("NoneType", "`str`", "`float`"))


@pytest.mark.parametrize("given", ["sessionId", "currentPath"])
def test_what_is_missing_is_named(given: str) -> None:
    fields = {"sessionId": S, "currentPath": "/"}
    del fields[given]
    with pytest.raises(FieldError, match="is missing") as raised:
        requests.decode_heartbeat(json.dumps(fields).encode())
    assert raised.value.field == given


_BEAT = f'"sessionId":"{S}","currentPath":"/"'
NO_OBJECTS = {
    "nothing": b"",
    "blank": b" ",
    "broken": b'{"sessionId":',
    "null": b"null",
    "array": b"[]",
    "text": b'"x"',
    "number": b"1",
    "single quotes": b"{'a': 1}",
    "comma at the end": b"{%s,}" % _BEAT.encode(),
    "two documents": b"{%s}{}" % _BEAT.encode(),
    "NaN": b'{%s,"latitude":NaN}' % _BEAT.encode(),
    "Infinity": b'{%s,"latitude":Infinity}' % _BEAT.encode(),
    "NaN where nobody looks": b'{%s,"other":NaN}' % _BEAT.encode(),
    "byte order mark": b"\xef\xbb\xbf{%s}" % _BEAT.encode(),
    "UTF-16": f"{{{_BEAT}}}".encode("utf-16"),
    "broken UTF-8": b'{%s,"city":"\xff"}' % _BEAT.encode(),
    "surrogate as UTF-8": b'{%s,"city":"\xed\xa0\x80"}' % _BEAT.encode(),
    "10,000 arrays": b"[" * 10_000 + b"]" * 10_000,
    "10,000 levels": b'{%s,"x":' % _BEAT.encode() + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "100,000 levels": b'{"x":' * 100_000,
}


@pytest.mark.parametrize("given", NO_OBJECTS.values(), ids=NO_OBJECTS.keys())
@pytest.mark.parametrize(
    "decode",
    [requests.decode_heartbeat, requests.decode_batch, requests.decode_leave, requests.decode_view],
)
def test_what_is_no_json_object(decode: Callable[[bytes], Any], given: bytes) -> None:
    with pytest.raises(RequestError) as raised:
        decode(given)
    assert raised.value.status in (400, 422)
    if decode is requests.decode_heartbeat:
        assert raised.value.status == 400
        assert "not a JSON object" in raised.value.detail


@pytest.mark.parametrize(
    "given, field",
    [
        (b'{"sessionId":"x",%s}' % _BEAT.encode(), "sessionId"),
        (b'{%s,"currentPath":"/b"}' % _BEAT.encode(), "currentPath"),
        (b'{%s,"country":"DE","country":"FR"}' % _BEAT.encode(), "country"),
        (b'{%s,"x":{"y":1,"y":2}}' % _BEAT.encode(), "y"),
    ],
)
def test_a_member_twice_is_refused(given: bytes, field: str) -> None:
    with pytest.raises(FieldError) as raised:
        requests.decode_heartbeat(given)
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
            body = f'{{"heartbeats": [{{{text}}}, {{{_BEAT}}}]}}'.encode()
            first, second = requests.decode_batch(body)
            assert isinstance(second, requests.HeartbeatBody)
            refused = isinstance(first, FieldError)
        else:
            requests.decode_heartbeat(f"{{{text}}}".encode())
            refused = False
    except FieldError:
        refused = True
    assert refused == is_twice


def test_a_member_twice_is_found_in_time() -> None:
    many = ",".join(f'"{n:x}":0' for n in range(28_000))
    given = f'{{"heartbeats":[],{many},"0":1}}'.encode()
    assert len(given) < requests.MAX_BATCH_BODY_BYTES
    started = time.perf_counter()
    with pytest.raises(FieldError):
        requests.decode_batch(given)
    assert time.perf_counter() - started < 0.5


def test_what_is_right_is_kept() -> None:
    beat = requests.decode_heartbeat(
        body(
            currentPath="/a/?q=1",
            pageType="article",
            referrer="https://example.org/x?y",
            country="de",
            city="  Köln ",
            latitude=-90,
            longitude=180,
            unknown={"is": ["ignored"]},
        )
    )
    assert (beat.sessionId, beat.currentPath, beat.pageType) == (S, "/a", "article")
    assert (beat.referrer, beat.country, beat.city) == ("example.org", "de", "Köln")
    assert (beat.latitude, beat.longitude) == (-90, 180)


def test_null_is_not_given() -> None:
    names = ("pageType", "referrer", "country", "city", "latitude", "longitude")
    beat = requests.decode_heartbeat(body(**dict.fromkeys(names)))
    assert all(getattr(beat, name) is None for name in names)


@pytest.mark.parametrize(
    "heartbeats, field",
    [
        (None, "heartbeats"),
        ({}, "heartbeats"),
        ([{"sessionId": S, "currentPath": "/"}] * 1001, "heartbeats"),
    ],
)
def test_what_is_no_batch(heartbeats: Any, field: str) -> None:
    with pytest.raises(FieldError) as raised:
        requests.decode_batch(json.dumps({"heartbeats": heartbeats}).encode())
    assert raised.value.field == field


@pytest.mark.parametrize("site", ["a", "0", "blog", "example.org", "a-b.c", "a" * 63, "a..b"])
def test_site_ids(site: str) -> None:
    assert requests.check_site(site) == site


@pytest.mark.parametrize(
    "site",
    [
        *("", "A", "-a", ".", "..", "...", "a_b", "a b", "a\n", "{a}", "a{b", "a}", "a:b", "a/b"),
        *("é", "a" * 64, "a\x00", "*"),
    ],
)
def test_what_is_no_site_id(site: str) -> None:
    with pytest.raises(FieldError) as raised:
        requests.check_site(site)
    assert raised.value.field == "site"
