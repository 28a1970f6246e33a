"""What is accepted of a heartbeat, what is kept of it, and what is said of the rest."""

import json
from typing import Any

import pytest

from service.api.requests.heartbeats import decode_heartbeat
from service.errors import FieldError
from tests.api.requests.bodies import S, body


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
        ({"country": "---"}, "country"),
        ({"country": "-\n"}, "country"),
        ({"country": "not known"}, "country"),
        ({"country": "unknown\n"}, "country"),
        ({"country": "Germany"}, "country"),
        ({"country": "T2"}, "country"),
        ({"country": 49}, "country"),
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
        decode_heartbeat(body(**fields))
    assert (raised.value.status, raised.value.field) == (422, field)
    assert field in raised.value.detail
    assert any(word in raised.value.detail for word in ("must", "missing"))
    assert not any(word in raised.value.detail for word in ("NoneType", "`str`", "`float`"))


@pytest.mark.parametrize("given", ["sessionId", "currentPath"])
def test_what_is_missing_is_named(given: str) -> None:
    fields = {"sessionId": S, "currentPath": "/"}
    del fields[given]
    with pytest.raises(FieldError, match="is missing") as raised:
        decode_heartbeat(json.dumps(fields).encode())
    assert raised.value.field == given


def test_what_is_right_is_kept() -> None:
    beat = decode_heartbeat(
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
    beat = decode_heartbeat(body(**dict.fromkeys(names)))
    assert all(getattr(beat, name) is None for name in names)
