"""What is not a batch."""

import json
from typing import Any

import pytest

from service.api.requests.batches import decode_batch
from service.errors import FieldError
from tests.api.requests.bodies import S


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
        decode_batch(json.dumps({"heartbeats": heartbeats}).encode())
    assert raised.value.field == field
