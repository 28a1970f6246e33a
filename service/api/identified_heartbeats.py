"""Remembers heartbeats whose token held: a page sends the same bytes again and again."""

import msgspec

from service.api.remembered import Remembered
from service.api.requests.heartbeats import HeartbeatBody
from service.api.user_tokens import UserTokens, Verdict

REMEMBERED = 50_000  # heartbeats, some 40 MB; beyond them the oldest are read again
# Bytes of a body; longer ones are read each time. Members that nobody knows may make one long.
MOST_BYTES = 1024


class IdentifiedHeartbeats:
    """What heartbeats with a token say, by their bodies, and whose they are, until the token
    expires. With one of these a heartbeat costs no more than one without a token.

    Args:
        tokens: verifies them, and says whether a verdict still holds.
    """

    def __init__(self, tokens: UserTokens) -> None:
        self._tokens = tokens
        # Each with its site: one that is sent to another site is read again.
        self._by_body: Remembered[bytes, tuple[HeartbeatBody, Verdict, str]]
        self._by_body = Remembered(REMEMBERED)

    def get(self, name: str, body: bytes) -> tuple[HeartbeatBody, Verdict] | None:
        """What a body says, to the site `name`, and whose token it has; None: it is to be read."""
        known = self._by_body.get(body)
        if known is None or known[2] != name or not self._tokens.holds(known[1]):
            return None
        return known[:2]

    def add(self, name: str, body: bytes, heartbeat: HeartbeatBody, verdict: Verdict) -> None:
        """Remembers a heartbeat if its token held; others anybody can make without end."""
        if verdict.user is not None and len(body) <= MOST_BYTES:
            # The token is in the body.
            known = msgspec.structs.replace(heartbeat, userToken=None)
            self._by_body.add(body, (known, verdict, name))
