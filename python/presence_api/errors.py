"""Everything this package raises on purpose, but for ValueError."""


class PresenceError(Exception):
    """The root. `status`: of HTTP, or 0; `field`: the one that is wrong, where it is one;
    `retry_after`: seconds that the service asks to wait, or 0."""

    def __init__(self, detail: str, status: int = 0, field: str = "", wait: float = 0) -> None:
        super().__init__(f"{status}: {detail}" if status else detail)
        self.detail, self.status, self.field, self.retry_after = detail, status, field, wait


class UnavailableError(PresenceError):
    """Trying again may help: no answer, not in time, 429 or 5xx."""


class RefusedError(PresenceError):
    """It would not: what was sent is invalid, or a token is missing or wrong."""


class WebhookError(PresenceError):
    """A webhook that must not be believed: not signed with a secret, or too old."""
