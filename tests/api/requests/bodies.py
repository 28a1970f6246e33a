"""A heartbeat's JSON, to change where a test wants it."""

import json
from typing import Any

S = "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e"
BEAT = f'"sessionId":"{S}","currentPath":"/"'


def body(**fields: Any) -> bytes:
    return json.dumps({"sessionId": S, "currentPath": "/"} | fields).encode()
