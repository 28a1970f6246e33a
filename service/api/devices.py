"""The kind of device that a browser says it runs on. Nothing else is read of what it says, and none
of it is kept."""

import re
from collections.abc import Mapping

_TABLET = re.compile(rb"iPad|Tablet|PlayBook|Kindle|Silk/(?!.*Mobile)|Android(?!.*Mobile)")
_PHONE = re.compile(rb"Mobi|iPhone|iPod")
_TELEVISION = re.compile(rb"TV\b|\bCrKey\b|\bBRAVIA\b")


def device_of(headers: Mapping[bytes, bytes]) -> str:
    """`phone`, `tablet` or `desktop`, by `Sec-CH-UA-Mobile` and `User-Agent`; `--`: there is
    neither. An iPad says that it is a Mac, unless its user has chosen otherwise."""
    agent = headers.get(b"user-agent", b"")[:1000]
    hint = headers.get(b"sec-ch-ua-mobile", b"")
    if not agent and not hint:
        return "--"
    if _TELEVISION.search(agent):
        return "desktop"
    if _TABLET.search(agent):
        return "tablet"
    return "phone" if hint == b"?1" or _PHONE.search(agent) else "desktop"
