"""Replies of Redis that come in one shape or another."""

from collections.abc import Iterable
from typing import Any


def pairs_of(reply: Any) -> Iterable[tuple[Any, Any]]:
    """Pairs, however they came: flat (RESP2), as lists of two, or as a map (RESP3)."""
    if isinstance(reply, dict):
        return reply.items()
    if reply and isinstance(reply[0], list):
        return ((name, value) for name, value in reply)
    return zip(reply[::2], reply[1::2], strict=True)


def appended(info: Any) -> int | None:
    """Entries that a stream ever had; None: there is no stream, or this Redis does not say."""
    count = dict(pairs_of(info or ())).get("entries-added")
    return None if count is None else int(count)
