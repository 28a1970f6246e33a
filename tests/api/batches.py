"""The longest batch there is."""

import json
import uuid
from typing import Any

NUMBER = -1.2345678901234567e-300
# With the greatest length of every member, in characters that JSON may write as long escapes.
FULL: dict[str, Any] = {
    "sessionId": "x" * 64,
    "currentPath": "/a" + "é" * 255,
    "pageType": "a" * 32,
    "referrer": "https://example.org/".ljust(2048, "r"),
    "country": "undefined",
    "city": "😀" * 64,
    "latitude": NUMBER,
    "longitude": NUMBER,
    "source": "s" * 64,
    "medium": "m" * 64,
    "campaign": "c" * 64,
    "device": "desktop",
}
FULL_USER = {"userId": "u" * 64, "name": "😀" * 64, "avatar": "https://".ljust(256, "a")}


def full_batch(more: dict[str, Any] | None = None) -> bytes:
    """The body of a thousand of them, by Python's `json.dumps`."""
    nobody = uuid.uuid4().hex  # who was there before
    beats = [FULL | (more or {}) | {"sessionId": f"{nobody}{n:x>32}"} for n in range(1000)]
    return json.dumps({"heartbeats": beats}).encode()
