"""Bodies of JSON, decoded and checked in one step; what is refused is refused with the field and
the remedy."""

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from service.api.requests.field_errors import as_field_error
from service.api.requests.locations import City, clean_city
from service.api.requests.names import UserName, clean_name
from service.api.requests.paths import PagePath, clean_path
from service.api.requests.referrers import ReferrerHost, clean_referrer
from service.api.requests.source_texts import SourceText, clean_source_text
from service.errors import FieldError, RequestError

_JSON_NAMES = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "an object",
}
_CLEANERS: dict[type, Callable[[str], str]] = {
    PagePath: clean_path,
    ReferrerHost: clean_referrer,
    City: clean_city,
    UserName: clean_name,
    SourceText: clean_source_text,
}


def decode_text(kind: type, raw: Any) -> Any:
    """A text that is cleaned as it is decoded, for `dec_hook`. Raises ValueError."""
    if not isinstance(raw, str):
        raise ValueError(f"must be a string, not {_JSON_NAMES[type(raw)]}")
    return _CLEANERS[kind](raw)


T = TypeVar("T")


def decoder_of(kind: type[T]) -> msgspec.json.Decoder[T]:
    """A decoder that cleans paths, referrers, cities and names as it goes."""
    return msgspec.json.Decoder(kind, dec_hook=decode_text)


def decode_careful(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """A body that is not asked for often, from its JSON; raises as `decode_heartbeat`."""
    value = decode(decoder, body)
    refuse_repeated_members(body)
    return value


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """A body from its JSON, in which a member may be there twice; raises as `decode_heartbeat`."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise as_field_error(str(error)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        _refuse_lone_surrogates(body)
        raise RequestError(400, f"the body is not a JSON object: {reason(error)}") from None


_SURROGATES = re.compile("[\ud800-\udfff]")


def _refuse_lone_surrogates(body: bytes) -> None:
    """msgspec calls an escaped lone surrogate broken JSON; it is JSON, with a bad field."""
    if b"\\u" not in body:
        return
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return
    stack = [("", document)]
    while stack:
        where, value = stack.pop()
        if isinstance(value, dict):
            stack.extend((f"{where}.{name}".lstrip("."), item) for name, item in value.items())
        elif isinstance(value, list):
            stack.extend((f"{where}[{n}]", item) for n, item in enumerate(value))
        elif isinstance(value, str) and _SURROGATES.search(value):
            raise FieldError(where, f"{where} must not contain lone surrogates")


def reason(error: Exception) -> str:
    """Why a body is not a JSON object."""
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of an object. Raises FieldError, 422, where one is there twice."""
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    members = {}
    for name, value in pairs:
        if name in members:
            raise FieldError(name[:100], "a member is there twice; send it once")
        members[name] = value
    return members


def refuse_repeated_members(body: bytes) -> None:
    """Raises FieldError, 422, where an object of the body has a member twice."""
    try:
        json.loads(body.decode(), object_pairs_hook=unique_members)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not a JSON object: {reason(error)}") from None
