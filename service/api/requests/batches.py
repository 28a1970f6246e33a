"""The body of a batch of heartbeats."""

import asyncio
import json
import math
import re
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from service.api.requests.heartbeats import BARE_QUOTES, BatchHeartbeat, quotes_of, without_repeats
from service.api.requests.json_bodies import decode, decoder_of, reason, unique_members
from service.api.requests.locations import MAX_CITY
from service.api.requests.names import MAX_NAME
from service.api.requests.paths import MAX_PATH_BYTES
from service.api.requests.sizes import MAX_BATCH, MAX_BODY_BYTES
from service.api.requests.source_texts import MAX_SOURCE_TEXT
from service.errors import FieldError, RequestError

# The longest that each member of a heartbeat can be in the most verbose JSON, which escapes all but
# ASCII: an é, two bytes of UTF-8, is six, and an emoji, one character, twelve. The longest number
# is one such as -1.2345678901234567e-300.
_LONGEST = {
    "sessionId": 64,
    "currentPath": 3 * MAX_PATH_BYTES,
    "pageType": 32,
    "referrer": MAX_BODY_BYTES,  # a URL, which is ASCII
    "country": len("undefined"),
    "city": 12 * MAX_CITY,
    "latitude": 24,
    "longitude": 24,
    "userId": 64,
    "name": 12 * MAX_NAME,
    "avatar": 256,
    "source": MAX_SOURCE_TEXT,  # this and the next two in ASCII: what is longer is cut anyway
    "medium": MAX_SOURCE_TEXT,
    "campaign": MAX_SOURCE_TEXT,
    "device": len("desktop"),
}
_MEBIBYTE = 1024 * 1024
# So many heartbeats, each with all of it; as `json.dumps` writes them, with spaces. A token instead
# of userId, name and avatar may be as long as these.
MAX_BATCH_BODY_BYTES = _MEBIBYTE * math.ceil(
    MAX_BATCH * sum(len(f'{{"{name}": "", ') + most for name, most in _LONGEST.items()) / _MEBIBYTE
)


class HeartbeatBatch(Struct, frozen=True):
    """Up to 1000 heartbeats of one site, written in order."""

    heartbeats: Annotated[list[BatchHeartbeat], Meta(max_length=MAX_BATCH)]


class _RawBatch(Struct, frozen=True):
    """A batch whose heartbeats are not looked at yet."""

    heartbeats: Annotated[list[msgspec.Raw], Meta(max_length=MAX_BATCH)]


_BATCH_HEARTBEAT = decoder_of(BatchHeartbeat)
_BATCH = decoder_of(HeartbeatBatch)
_RAW_BATCH = decoder_of(_RawBatch)


# Without its members and white space a batch is 16 bytes, and a heartbeat is at most 6 KiB. What is
# beyond these is parsed by nobody: half a million members take a second.
_MOST_BESIDE = 16 * 1024
_MOST_OF_ONE = 64 * 1024
# After so many bytes, or escapes, it is somebody else's turn.
_BYTES_AT_ONCE = 256 * 1024
_ESCAPES_AT_ONCE = 16 * 1024


async def decode_batch(body: bytes) -> Sequence[BatchHeartbeat | RequestError]:
    """The heartbeats of a batch from its JSON, in order; for an invalid one, what is
    wrong with it. Where it takes long, others have their turn in between.

    Raises:
        RequestError: 400, the body is not a JSON object.
        FieldError: 422, it is not a batch.
    """
    try:
        beats = _BATCH.decode(body).heartbeats
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return await _decode_one_by_one(body)
    quotes = body.count(b'"') - 2
    if quotes != BARE_QUOTES * len(beats) and quotes != sum(map(quotes_of, beats)):
        return await _decode_one_by_one(body)
    return beats


async def _decode_one_by_one(body: bytes) -> list[BatchHeartbeat | RequestError]:
    body = await _without_lone_surrogates(body)
    raws = [bytes(raw) for raw in decode(_RAW_BATCH, body).heartbeats]
    _check_what_is_beside(body, raws)
    decoded: list[BatchHeartbeat | RequestError] = []
    waiting = 0
    for raw in raws:
        waiting += len(raw)
        if waiting > _BYTES_AT_ONCE:
            waiting = 0
            await asyncio.sleep(0)
        try:
            decoded.append(_decode_one(raw))
        except RequestError as error:
            decoded.append(error)
    return decoded


def _decode_one(raw: bytes) -> BatchHeartbeat:
    if len(raw) > _MOST_OF_ONE:
        raise FieldError("heartbeats", f"a heartbeat is at most {_MOST_OF_ONE >> 10} KiB of JSON")
    if not raw.startswith(b"{"):
        raise FieldError("heartbeats", "a heartbeat must be a JSON object")
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        what = f"a heartbeat must be UTF-8, which its byte {error.start + 1} is not"
        raise FieldError("heartbeats", what) from None
    return without_repeats(decode(_BATCH_HEARTBEAT, raw), raw)


def _check_what_is_beside(body: bytes, raws: list[bytes]) -> None:
    """Raises RequestError where there is much beside the heartbeats, or a member twice."""
    pieces, end = [], 0
    for raw in raws:
        begin = body.find(raw, end)
        # One that stands in a text, or is short, may stay as it is.
        pieces += [body[end:begin], b"{}" if raw.startswith(b"{") and b'"' in raw else raw]
        end = begin + len(raw)
    beside = b"".join([*pieces, body[end:]]).translate(None, b" \t\r\n")
    if len(beside) > _MOST_BESIDE + sum(map(len, pieces[1::2])) + len(raws):
        raise FieldError("heartbeats", "the body must have no more than the member heartbeats")
    try:
        unique_members(json.loads(beside.decode(), object_pairs_hook=list, parse_int=len))
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not a JSON object: {reason(error)}") from None


# An escaped lone surrogate is JSON, but not to msgspec. A NUL in its place is refused where it
# matters, in a string of that one heartbeat.
_SURROGATES = re.compile(
    rb"(?<!\\)(?:\\\\)*+(?P<first>\\u[dD](?:[89abAB][0-9a-fA-F]{2}"
    rb"(?P<second>\\u[dD][c-fC-F][0-9a-fA-F]{2})?|[c-fC-F][0-9a-fA-F]{2}))"
)


_MAYBE_SURROGATES = re.compile(rb"\\u[dD][89a-fA-F]")  # found faster


async def _without_lone_surrogates(body: bytes) -> bytes:
    if not _MAYBE_SURROGATES.search(body):
        return body
    pieces, end = [], 0
    for count, found in enumerate(_SURROGATES.finditer(body), 1):
        if found["second"] is None:
            pieces += [body[end : found.start("first")], b"\\u0000"]
            end = found.end()
        if count % _ESCAPES_AT_ONCE == 0:
            await asyncio.sleep(0)
    return b"".join([*pieces, body[end:]])
