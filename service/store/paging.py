"""Positions in listings: cursors of sessions, stream ids of page views."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from service.errors import FieldError
from service.store.layout import Layout

_NO_CURSOR = "cursor must be what an earlier answer gave as nextCursor"
BEGINNING = "0-0"
_CURSOR = msgspec.json.Decoder(tuple[Annotated[int, Meta(ge=0)], float, str])


def write_cursor(shard: int, score: float, member: str) -> str:
    """Where a listing of sessions stopped, as a string for URLs."""
    return base64.urlsafe_b64encode(msgspec.json.encode((shard, score, member))).decode()


def read_cursor(cursor: str) -> tuple[int, float, str]:
    """What `write_cursor` was given.

    Raises:
        FieldError: it is not a cursor.
    """
    try:
        return _CURSOR.decode(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, binascii.Error, msgspec.MsgspecError, UnicodeError):
        raise FieldError("cursor", _NO_CURSOR) from None


def write_user_cursor(user_page: str) -> str:
    """Where a listing of users stopped, as a string for URLs."""
    return base64.urlsafe_b64encode(user_page.encode()).decode()


def read_user_cursor(cursor: str) -> str:
    """What `write_user_cursor` was given.

    Raises:
        FieldError: it is not a cursor.
    """
    try:
        user_page = base64.b64decode(cursor.encode(), b"-_", validate=True).decode()
    except (ValueError, UnicodeError):
        user_page = ""
    if not user_page.startswith("/") or user_page.count("\t") != 1:
        raise FieldError("cursor", _NO_CURSOR)
    return user_page


def stream_position(entry_id: str) -> tuple[int, int]:
    """A stream id as numbers, which compare as the stream is ordered."""
    ms, _, number = entry_id.partition("-")
    return int(ms), int(number or 0)


def padded(positions: Sequence[str], shards: int) -> list[str]:
    """Positions in so many shards, of which the last may be newer: nothing of them was read."""
    return [*positions, *[BEGINNING] * (shards - len(positions))]


def read_site_positions(after: str, layouts: Sequence[Layout]) -> list[str]:
    """The position in each shard's stream of a site, of all its layouts: one id for all of them, or
    one for each of those that there were when the position was told.

    Raises:
        FieldError: it is neither.
    """
    total = sum(layout.shards for layout in layouts)
    count = after.count(",") + 1
    if count == 1:
        (position,) = read_positions(after, 1)
        moment = stream_position(position)[0]
        of_layouts = (
            [position if layout.since_ms <= moment or not moment else BEGINNING] * layout.shards
            for layout in layouts
        )
        return [one for positions in of_layouts for one in positions]
    known = 0
    for layout in layouts:
        known += layout.shards
        if known == count:
            return padded(read_positions(after, count), total)
    return read_positions(after, total)


def read_positions(after: str, shards: int) -> list[str]:
    """The position in each shard's stream: one id for all of them, or one for each.

    Raises:
        FieldError: it is neither.
    """
    positions = after.split(",") if after else ["0"]
    if len(positions) == 1:
        positions *= shards
    if len(positions) != shards or not all(
        len(position) <= 41
        and position.isascii()
        and position.replace("-", "", 1).isdigit()
        and not position.startswith("-")
        and not position.endswith("-")
        and max(stream_position(position))
        < 2**64 - 1  # after the very last position there is nothing
        for position in positions
    ):
        raise FieldError(
            "after",
            "after must be a stream id such as 1764000000000-0, or what an earlier answer gave "
            "as next",
        )
    return positions
