"""The schemas of fields that msgspec cannot describe: their types check what they are given."""

from typing import Any

from service.api.requests.characters import CONTROLS, INVISIBLE
from service.api.requests.locations import MAX_CITY, City
from service.api.requests.names import MAX_NAME, UserName
from service.api.requests.paths import PagePath
from service.api.requests.referrers import ReferrerHost
from service.api.requests.sizes import MAX_BODY_BYTES
from service.api.requests.source_texts import MAX_SOURCE_TEXT, SourceText

CUSTOM_TYPES: dict[type, dict[str, Any]] = {
    PagePath: {
        "type": "string",
        "format": "page-path",
        "pattern": rf"^/(?![/\\])[^?#{CONTROLS}{INVISIBLE}]*([?#][\s\S]*)?$",
        "description": "Begins with exactly one /, at most 512 bytes of UTF-8. One page has one "
        "name: query string, fragment and slashes at the end are cut off, escapes of UTF-8 are "
        "decoded, but for those of / % ? #, and the result is Unicode's normal form C, which is "
        "what is measured. No control or zero-width characters, lone surrogates or direction "
        "overrides, escaped neither; joiners and variation selectors only where an emoji or a "
        "script needs them.",
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
        "pattern": rf"^[^{CONTROLS}{INVISIBLE}]*$",
        "description": "At most 64 characters, none of them a control character or invisible.",
        "examples": ["Köln"],
    },
    UserName: {
        "type": "string",
        "format": "user-name",
        "maxLength": MAX_NAME,
        "pattern": rf"^[^{CONTROLS}{INVISIBLE}]*$",
        "description": "At most 64 characters, none of them a control character or invisible.",
        "examples": ["Anna Ek"],
    },
    SourceText: {
        "type": "string",
        "description": f"Its first {MAX_SOURCE_TEXT} characters are kept, without those that "
        "cannot be shown. Of a source that is a URL only the host is.",
        "examples": ["newsletter"],
    },
}
