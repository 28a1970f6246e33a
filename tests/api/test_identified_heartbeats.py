"""A heartbeat that is remembered says what it said, until its token expires."""

import json

import pytest

from service.api.identified_heartbeats import MOST_BYTES, IdentifiedHeartbeats
from service.api.requests.heartbeats import decode_heartbeat
from service.api.user_tokens import LEEWAY_S, User, UserTokens, Verdict, mint
from service.sites import Site

SECRET = "a secret of at least thirty-two bytes"
SITE = Site(user_secrets=(SECRET,))
NOW = 1_900_000_000.0


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def body_of(token: str, path: str = "/a") -> bytes:
    beat = {"sessionId": "session-00000001", "currentPath": path, "userToken": token}
    return json.dumps(beat).encode()


def read(known: IdentifiedHeartbeats, tokens: UserTokens, name: str, body: bytes) -> Verdict:
    heartbeat = decode_heartbeat(body)
    assert heartbeat.userToken
    verdict = tokens.verify(name, SITE, heartbeat.userToken)
    known.add(name, body, heartbeat, verdict)
    return verdict


def test_it_is_remembered_until_its_token_expires() -> None:
    clock = Clock()
    tokens = UserTokens(clock)
    known = IdentifiedHeartbeats(tokens)
    body = body_of(mint(SECRET, "team", User("anna", "Anna"), expires=NOW + 60))
    assert known.get("team", body) is None
    verdict = read(known, tokens, "team", body)
    assert verdict.word == "ok"
    found = known.get("team", bytes(bytearray(body)))
    assert found
    assert (found[0].sessionId, found[0].currentPath) == ("session-00000001", "/a")
    assert found[1] == verdict
    assert known.get("other", body) is None, "one site's is nothing to another"
    assert known.get("team", body_of("x", "/b")) is None
    clock.now = NOW + 60 + LEEWAY_S - 0.1
    assert known.get("team", body)
    clock.now = NOW + 60 + LEEWAY_S
    assert known.get("team", body) is None
    assert read(known, tokens, "team", body).word == "expired"


@pytest.mark.parametrize(
    "token", ["x", "a.b.c", mint("another" * 6, "team", User("a"), expires=NOW)]
)
def test_one_whose_token_does_not_hold_is_not(token: str) -> None:
    tokens = UserTokens(Clock())
    known = IdentifiedHeartbeats(tokens)
    assert read(known, tokens, "team", body_of(token)).word == "invalid"
    assert known.get("team", body_of(token)) is None


def test_a_long_one_is_not() -> None:
    """Members that nobody knows may make a body long: a user cannot fill the memory with them."""
    tokens = UserTokens(Clock())
    known = IdentifiedHeartbeats(tokens)
    body = body_of(mint(SECRET, "team", User("anna"), expires=NOW + 60))
    for length, is_known in ((MOST_BYTES, True), (MOST_BYTES + 1, False)):
        padded = body[:-1] + b" " * (length - len(body)) + b"}"
        assert read(known, tokens, "team", padded).word == "ok"
        assert (known.get("team", padded) is not None) == is_known
