"""What is signed: users' tokens, held against the service, and webhooks, against the public
library of Standard Webhooks."""

import base64
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook

from presence_api import WebhookError, user_token, verify_webhook
from service.api.user_tokens import User, UserTokens
from service.sites import Site
from tests.python_package.conftest import SECRET

ONE, OTHER = (
    "whsec_" + base64.b64encode(bytes(range(start, start + 32))).decode() for start in (0, 9)
)
BODY = '{"site":"team","events":[{"type":"user.online","userId":"Zoë"}]}'.encode()


def test_a_token_is_one_to_the_service() -> None:
    token = user_token(SECRET, "team", "anna", name="Anna", sees=["/docs/*"], valid_s=60)
    verdict = UserTokens().verify("team", Site(user_secrets=(SECRET,)), token)
    assert verdict[:2] == ("ok", User("anna", "Anna", "", ("/docs/*",)))
    assert time.time() < verdict.expires < time.time() + 60 + 61


@pytest.mark.parametrize("claims", [{}, {"name": "", "avatar": "", "sees": []}], ids=str)
def test_a_token_may_say_no_more_than_who_it_is(claims: dict[str, Any]) -> None:
    token = user_token(SECRET, "team", "anna", **claims)
    verdict = UserTokens().verify("team", Site(user_secrets=(SECRET,)), token)
    assert verdict[:2] == ("ok", User("anna"))


@pytest.mark.parametrize("claim", ["aud", "sub", "exp"])
def test_a_claim_does_not_change_whose_a_token_is(claim: str) -> None:
    claims: dict[str, Any] = {claim: "another"}
    token = user_token(SECRET, "team", "anna", **claims)
    assert UserTokens().verify("team", Site(user_secrets=(SECRET,)), token).user == User("anna")


def signed(
    secret: str, *, at: float = 0, name: str = "msg_1", body: bytes = BODY
) -> dict[str, str]:
    """The headers of a webhook that was sent `at` seconds from now, by the public library."""
    moment = datetime.fromtimestamp(int(time.time() + at), UTC)
    signature = Webhook(secret).sign(name, moment, body.decode())
    return {
        "webhook-id": name,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": signature,
    }


@pytest.mark.parametrize(
    "secrets", [[ONE], [OTHER, ONE], [ONE.removeprefix("whsec_")], (ONE, ONE)], ids=len
)
def test_what_the_public_library_signs_holds(secrets: list[str]) -> None:
    headers = signed(ONE)
    assert verify_webhook(BODY, headers, secrets) == Webhook(ONE).verify(BODY, headers)
    spelled = {name.title(): value for name, value in headers.items()}
    assert verify_webhook(BODY, spelled, secrets)["site"] == "team"


def test_of_several_signatures_one_suffices() -> None:
    headers = signed(ONE)
    headers["webhook-signature"] = " ".join(
        [
            "v1a,AAAA",
            "v1,",
            "nothing",
            signed(OTHER)["webhook-signature"],
            headers["webhook-signature"],
        ]
    )
    assert verify_webhook(BODY, headers, [ONE])["site"] == "team"
    assert verify_webhook(BODY, headers, [OTHER])["site"] == "team"


# What is done to a fresh signature: one that was made when the tests were collected would be too
# old by itself once they have run for five minutes.
Sent = tuple[Mapping[str, str], bytes, list[str]]
CHANGED: dict[str, Callable[[dict[str, str]], Sent]] = {
    "another secret": lambda good: (signed(OTHER), BODY, [ONE]),
    "no secret": lambda good: (good, BODY, []),
    "an empty secret": lambda good: (good, BODY, ["whsec_"]),
    "another body": lambda good: (good, BODY + b" ", [ONE]),
    "another id": lambda good: (good | {"webhook-id": "msg_2"}, BODY, [ONE]),
    "another time": lambda good: (
        good | {"webhook-timestamp": str(int(good["webhook-timestamp"]) - 9)}, BODY, [ONE],
    ),
    "too old": lambda good: (signed(ONE, at=-310), BODY, [ONE]),
    "too new": lambda good: (signed(ONE, at=1000), BODY, [ONE]),
    "no time": lambda good: (good | {"webhook-timestamp": ""}, BODY, [ONE]),
    "a time that is none": lambda good: (good | {"webhook-timestamp": "now"}, BODY, [ONE]),
    "a negative time": lambda good: (good | {"webhook-timestamp": "-1"}, BODY, [ONE]),
    "a time without end": lambda good: (good | {"webhook-timestamp": "9" * 5000}, BODY, [ONE]),
    "no signature": lambda good: (good | {"webhook-signature": ""}, BODY, [ONE]),
    "a signature of another kind": lambda good: (
        good | {"webhook-signature": good["webhook-signature"].replace("v1,", "v2,")}, BODY, [ONE],
    ),
    "what cannot be encoded": lambda good: (
        good | {"webhook-signature": "v1,\udcff"}, BODY, [ONE],
    ),
    "no headers": lambda good: ({}, BODY, [ONE]),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGED)
def test_what_does_not_hold(what: str) -> None:
    good = signed(ONE)
    verify_webhook(BODY, good, [ONE])  # nothing but the change is wrong with it
    headers, body, secrets = CHANGED[what](good)
    with pytest.raises(WebhookError):
        verify_webhook(body, headers, secrets)


def test_a_secret_that_is_none_is_said() -> None:
    with pytest.raises(ValueError, match=r"base64|padding|data"):
        verify_webhook(BODY, signed(ONE), ["whsec_not base64!"])
