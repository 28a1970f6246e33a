"""The headers of all answers, by the name that operations know them by."""

from typing import Any


def header(text: str, schema: Any, *, required: bool = True) -> dict[str, Any]:
    """OpenAPI's Header Object."""
    return {"description": text, "schema": schema, "required": required}


_WORD = {"type": "string"}
HEADERS = {
    "Allow": header("The methods there are.", _WORD),
    "Content-Disposition": header(
        "A name to save it by; of CSV and NDJSON.", _WORD, required=False
    ),
    "ETag": header("Stands for the numbers.", {"type": "string", "pattern": '^W/"[0-9a-f]+"$'}),
    "Presence-Dropped": header(
        "Why, with `dropped`.",
        {"type": "string", "enum": ["bot", "prefetch", "dnt"]},
        required=False,
    ),
    "Presence-Interval": header(
        "Seconds until the next heartbeat is wanted; decimals allowed.",
        {"type": "string", "pattern": "^[0-9.e+]+$"},
    ),
    "Presence-User": header(
        "What came of the user's token, where one was sent.",
        {"type": "string", "enum": ["ok", "expired", "invalid"]},
        required=False,
    ),
    "Retry-After": header("Seconds to wait.", {"type": "string", "pattern": "^[1-9][0-9]*$"}),
    "RetryAfterLimited": header(
        "Seconds to wait, where some are `limited`.",
        {"type": "string", "pattern": "^[1-9][0-9]*$"},
        required=False,
    ),
    "WWW-Authenticate": header("The scheme to use.", {"type": "string", "enum": ["Bearer"]}),
}
