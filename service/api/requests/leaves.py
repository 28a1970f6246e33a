"""The body of a goodbye."""

from msgspec import Struct

from service.api.requests.fields import SessionId
from service.api.requests.json_bodies import decode_careful, decoder_of
from service.api.requests.paths import clean_path


class Leave(Struct, frozen=True):
    """Session S has gone. Where a first heartbeat is still on its way, `currentPath` tells that it
    is the page that was left; a string that is no path is ignored."""

    sessionId: SessionId
    currentPath: str | None = None

    @property
    def path(self) -> str:
        """The page that was left, cleaned; empty: not known."""
        try:
            return clean_path(self.currentPath or "")
        except ValueError:
            return ""


_LEAVE = decoder_of(Leave)


def decode_leave(body: bytes) -> Leave:
    """A goodbye from its JSON; raises as `decode_heartbeat`."""
    return decode_careful(_LEAVE, body)
