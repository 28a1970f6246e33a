"""Single requests beside the load, as plain functions."""

import json
from typing import Any

import httpx

from tests import plain
from tests.faults.copies import ADMIN_TOKEN, Copy


def beat(copy: Copy, site: str, session: str, path: str = "/") -> httpx.Response:
    """One heartbeat."""
    body = json.dumps({"sessionId": session, "currentPath": path})
    return plain.post(f"{copy.url}/v1/sites/{site}/heartbeat", content=body, timeout=30)


def beat_many(copy: Copy, site: str, sessions: list[str], path: str = "/") -> httpx.Response:
    """One batch of heartbeats."""
    beats = [{"sessionId": session, "currentPath": path} for session in sessions]
    return plain.post(
        f"{copy.url}/v1/sites/{site}/heartbeats",
        json={"heartbeats": beats},
        headers=operator(),
        timeout=30,
    )


def read(copy: Copy, path: str) -> Any:
    """What a GET answers, which must be 200."""
    response = plain.get(copy.url + path, headers=operator(), timeout=30)
    assert response.status_code == 200, response.text
    return response.json()


def operator() -> dict[str, str]:
    """The headers of an operator's request."""
    return {"Authorization": f"Bearer {ADMIN_TOKEN}"}


def refuses_properly(response: httpx.Response) -> str:
    """Asserts that it is a 503 as it should be; what it says."""
    assert response.status_code == 503, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert int(response.headers["retry-after"]) >= 1
    return str(response.json()["detail"])
