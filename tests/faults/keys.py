"""The grammar of what is kept in Redis: whatever comes in, keys and what they hold stay in it."""

import itertools
import re
from typing import Any

_SITE = r"\{[a-z0-9][a-z0-9.-]{0,62}(?:/\d+(?:\.\d+)?)?\}"
_ID = r"[A-Za-z0-9_-]{16,64}"
_PATH = r"/[^\x00-\x1f\x7f?#]{0,511}"
_COUNT = r"\d+"

# What stands behind "<prefix>:{site}:" -> the type, and what its names look like.
SHAPES = {
    rf"session:{_ID}": ("hash", r"path|seen|since|leaving|country|city|latitude|longitude|type"),
    r"active": ("zset", rf"{_ID} (?:[A-Z]{{2}}|--) {_PATH}"),
    r"pages": ("zset", _PATH),
    r"countries": ("zset", r"[A-Z]{2}|--"),
    r"events": ("stream", r"type|session|path|from|at|reason|country"),
    r"located": ("hash", _ID),
    r"places": ("zset", r"-?\d+\.\d -?\d+\.\d (?:[A-Z]{2}|--) .{0,64}"),
    r"newcomers": ("hash", r"[0-9a-f]{16}"),
    r"views": ("stream", r"session|path|at|type|referrer|country"),
    rf"viewed:{_ID}:{_PATH}": ("string", ""),
    r"totals": ("hash", r"views|since"),
    r"top": ("zset", rf"{_PATH}|__other__"),
    r"types": ("hash", _PATH),
    r"top_order": ("zset", _PATH),
    r"uniques(?::\d{8})?": ("string", ""),
    r"minutes:\d{10}": ("hash", r"(?:views|peak):\d\d"),
    r"hours:\d{8}": ("hash", r"(?:views|peak):\d\d"),
}
OUTSIDE = {"due": "zset", "sites": "zset", "probe": "string", "shards": "string", "layouts": "hash"}


def grammar_faults(client: Any, prefix: str) -> list[str]:
    """What is in Redis under a prefix and outside the grammar; empty: nothing.

    Args:
        client: a synchronous client of redis-py that decodes answers.
    """
    faults: list[str] = []
    keys = iter(client.scan_iter(f"{prefix}:*", count=1000))
    while some := list(itertools.islice(keys, 1000)):
        pipeline = client.pipeline(transaction=False)
        for key in some:
            pipeline.type(key)
        for key, kind in zip(some, pipeline.execute(), strict=True):
            faults += _faults_of(client, key, key[len(prefix) + 1 :], kind)
    return faults


def _faults_of(client: Any, key: str, rest: str, kind: str) -> list[str]:
    """Those of one key; `rest`: what stands behind the prefix."""
    if kind == "none" or OUTSIDE.get(rest) == kind:  # none: it has expired meanwhile
        return []
    name = re.sub(rf"\A{_SITE}:", "", rest)
    shape = next(
        (shape for pattern, shape in SHAPES.items() if re.fullmatch(pattern, name, re.DOTALL)),
        None,
    )
    if name == rest or shape is None:
        return [f"no such key: {key!r}"]
    expected, names = shape
    if kind != expected:
        return [f"{key!r} is a {kind}"]
    wrong = [found for found in _names_in(client, key, kind) if not re.fullmatch(names, found)]
    return [f"{key!r} holds {found!r}" for found in wrong[:3]]


def _names_in(client: Any, key: str, kind: str) -> set[str]:
    match kind:
        case "hash":
            return set(client.hkeys(key))
        case "zset":
            return set(client.zrange(key, 0, -1))
        case "stream":
            return {name for _, fields in client.xrange(key) for name in fields}
        case _:
            return set()
