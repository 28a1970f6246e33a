"""Places in listings: cursors of sessions, stream ids of page views."""

import base64
import binascii
from typing import Annotated

import msgspec
from msgspec import Meta

from service.errors import FieldError

_CURSOR = msgspec.json.Decoder(tuple[Annotated[int, Meta(ge=0)], float, str])


def write_cursor(shard: int, score: float, member: str) -> str:
    """Where a listing of sessions stopped, as a text for URLs."""
    return base64.urlsafe_b64encode(msgspec.json.encode((shard, score, member))).decode()


def read_cursor(cursor: str) -> tuple[int, float, str]:
    """What `write_cursor` was given.

    Raises:
        FieldError: it is no cursor.
    """
    try:
        return _CURSOR.decode(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, binascii.Error, msgspec.MsgspecError, UnicodeError):
        raise FieldError(
            "cursor", "cursor must be what an earlier answer gave as nextCursor"
        ) from None


def stream_place(entry_id: str) -> tuple[int, int]:
    """A stream id as numbers, which compare as the stream is ordered."""
    ms, _, number = entry_id.partition("-")
    return int(ms), int(number or 0)


def read_places(after: str, shards: int) -> list[str]:
    """The place in each shard's stream: one id for all of them, or one for each.

    Raises:
        FieldError: it is neither.
    """
    places = after.split(",") if after else ["0"]
    if len(places) == 1:
        places *= shards
    if len(places) != shards or not all(
        len(place) <= 41
        and place.isascii()
        and place.replace("-", "", 1).isdigit()
        and not place.startswith("-")
        and not place.endswith("-")
        and max(stream_place(place)) < 2**64 - 1  # after the very last place there is nothing
        for place in places
    ):
        raise FieldError(
            "after",
            "after must be a stream id such as 1764000000000-0, or what an earlier answer gave "
            "as next",
        )
    return places
