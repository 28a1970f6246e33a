"""Everything this package raises on purpose.

PresenceError
├── SettingsError        a setting is wrong: the service does not start
│   └── ShardCountError          the data is split into another number of shards
├── EmbeddedError        the private Valkey cannot be had
├── RequestError         the caller's fault: a status from 400 to 429
│   └── FieldError       422, and which field
└── StoreError           503: Redis cannot do it now
    ├── StoreUnreachable     no answer within the deadline
    ├── StoreRefused         it answered that it will not: full, read-only, loading, no permission
    │   └── WrongTypeError       a key has a wrong type, which only a hand can make
    └── StoreBusy            more is waiting than can be held
"""

from collections.abc import Mapping


class PresenceError(Exception):
    """The root of the tree."""


class SettingsError(PresenceError):
    """A setting is wrong; the message is one line that says which and what would be right."""


class ShardCountError(SettingsError):
    """What is in Redis was written with another PRESENCE_SHARDS."""


class EmbeddedError(PresenceError):
    """The private Valkey cannot be started or found; the message says why in one line."""


class RequestError(PresenceError):
    """The request is refused. `detail` says what is wrong and what would be right."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.field = field
        self.headers = dict(headers or {})


class TokenError(RequestError):
    """No token was shown, or a wrong one: 401 or 403."""


class FieldError(RequestError):
    """A field is invalid: 422, naming it."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(422, detail, field=field)


class StoreError(PresenceError):
    """Redis cannot do it now; trying again later may help. `detail` holds no secret."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class StoreUnreachable(StoreError):
    """No answer from Redis within the deadline."""


class StoreRefused(StoreError):
    """Redis answered with an error."""


class WrongTypeError(StoreRefused):
    """A key that was needed has a wrong type."""


class StoreBusy(StoreError):
    """More is waiting than can be held."""
