"""Positions in listings: cursors of sessions, stream ids of page views."""

import base64
import binascii
from typing import Annotated

import msgspec
from msgspec import Meta

from service.errors import FieldError

_NO_CURSOR = "cursor must be what an earlier answer gave as nextCursor"
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
