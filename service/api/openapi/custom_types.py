"""The schemas of fields that msgspec cannot describe: their types check what they are given."""

from typing import Any

from service.api.requests.locations import MAX_CITY, City
from service.api.requests.paths import PagePath
from service.api.requests.referrers import ReferrerHost
from service.api.requests.sizes import MAX_BODY_BYTES

_HIDDEN = r"\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_ZERO_WIDTH = (
    r"\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f"
    r"\u3164\ufeff\uffa0\ufff0-\ufffb"
)
CUSTOM_TYPES: dict[type, dict[str, Any]] = {
    PagePath: {
        "type": "string",
        "format": "page-path",
        "pattern": rf"^/(?![/\\])[^?#{_HIDDEN}{_ZERO_WIDTH}]*([?#][\s\S]*)?$",
        "description": "Begins with exactly one /, at most 512 bytes of UTF-8. One page has one "
        "name: query string, fragment and slashes at the end are cut off, escapes of UTF-8 are "
        "decoded, but for those of / % ? #, and the result is Unicode's normal form C, which is "
        "what is measured. No control or zero-width characters, lone surrogates or direction "
        "overrides, escaped neither.",
        "examples": ["/blog/hello"],
    },
    ReferrerHost: {
        "type": "string",
        "maxLength": MAX_BODY_BYTES,
        "description": "A URL or a host; only the host is kept.",
        "examples": ["https://example.org/a?b=c"],
    },
    City: {
        "type": "string",
        "format": "city",
        "maxLength": MAX_CITY,
        "pattern": rf"^[^{_HIDDEN}]*$",
        "description": "At most 64 characters, none of them a control character.",
        "examples": ["Köln"],
    },
}
