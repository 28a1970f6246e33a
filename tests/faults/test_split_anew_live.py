"""Live streams of a site that is split anew, over HTTP: who is connected goes on, and who comes
back with `Last-Event-ID`, also to another copy, is told what happened since, each event once."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import plain
from tests.faults.copies import ADMIN_TOKEN, Copy, copies
from tests.faults.test_split_anew import split, url

__all__ = ["url"]  # one server, and a cluster

SESSIONS = [f"session-{n:010d}" for n in range(8)]  # an event tells of 20 at most


class Stream:
    """A live stream with its feed, and what was told of sessions over all its connections."""

    def __init__(self) -> None:
        self.last_id = ""
        self.kinds: list[str] = []  # of events, of the last connection
        self.told: list[tuple[str, str]] = []  # who did what: joined, moved or left, and where
        self.shown: dict[str, int] = {}

    @contextlib.contextmanager
    def connected(self, copy: Copy) -> Iterator["Stream"]:
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        self.kinds = []
        with (
            plain.Client(timeout=30) as http,
            http.stream("GET", f"{copy.url}/v1/sites/blog/live?feed=1", headers=headers) as answer,
        ):
            self._lines = answer.iter_lines()
            yield self

    def until(self, path: str, told: int = len(SESSIONS)) -> None:
        """Reads until everybody is on a page, and so many were told to have come there: what
        happened between two questions is counted in one event and told in the next."""
        while (
            self.shown.get(path) != len(SESSIONS) or [at for _, at in self.told].count(path) < told
        ):
            name, _, value = next(self._lines).partition(": ")
            if name == "event":
                self.kinds.append(value)
            elif name == "id":
                self.last_id = value
            elif name == "data":
                self._note(json.loads(value))

    def _note(self, data: dict[str, Any]) -> None:
        if self.kinds[-1] == "snapshot":
            self.shown.clear()
        else:
            self.told += [(one["type"], one["path"]) for one in data["feed"]]
        self.shown |= {row["path"]: row["count"] for row in data["activeByPath"]}


def beat(copy: Copy, path: str) -> None:
    """Everybody is on a page."""
    heartbeats = [{"sessionId": session, "currentPath": path} for session in SESSIONS]
    answer = plain.post(
        f"{copy.url}/v1/sites/blog/heartbeats",
        json={"heartbeats": heartbeats},
        headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
    )
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("number", [4, 3])
def test_a_live_stream_goes_on(url: str, number: int) -> None:
    """From one shard to some; then to others, while one stream is away."""
    with copies(2, url) as (copy, other):
        stays, comes_back = Stream(), Stream()
        beat(copy, "/a")
        with stays.connected(copy):
            stays.until("/a", told=0)
            with comes_back.connected(copy):
                comes_back.until("/a", told=0)
            split(url, number)
            beat(other, "/b")
            stays.until("/b")
            split(url, number + 1)
            beat(other, "/c")
            stays.until("/c")
        with comes_back.connected(other):
            comes_back.until("/c")
        assert stays.kinds[0] == "snapshot"
        assert "snapshot" not in [*stays.kinds[1:], *comes_back.kinds]
        assert comes_back.last_id.count(",") == number + number + 1  # one shard before
        for stream in (stays, comes_back):
            assert stream.told == [("moved", page) for page in ("/b", "/c") for _ in SESSIONS]
