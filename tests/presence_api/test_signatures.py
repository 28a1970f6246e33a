"""What is signed: users' tokens, held against the service, and webhooks, against the public
library of Standard Webhooks."""

import base64
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook

from presence_api import WebhookError, user_token, verify_webhook
from service.api.user_tokens import User, UserTokens
from service.sites import Site
from tests.presence_api.conftest import SECRET

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


GOOD = signed(ONE)
CHANGED: dict[str, tuple[Mapping[str, str], bytes, list[str]]] = {
    "another secret": (signed(OTHER), BODY, [ONE]),
    "no secret": (GOOD, BODY, []),
    "an empty secret": (GOOD, BODY, ["whsec_"]),
    "another body": (GOOD, BODY + b" ", [ONE]),
    "another id": (GOOD | {"webhook-id": "msg_2"}, BODY, [ONE]),
    "another time": (GOOD | {"webhook-timestamp": str(int(time.time()) - 9)}, BODY, [ONE]),
    "too old": (signed(ONE, at=-310), BODY, [ONE]),
    "too new": (signed(ONE, at=1000), BODY, [ONE]),
    "no time": (GOOD | {"webhook-timestamp": ""}, BODY, [ONE]),
    "a time that is none": (GOOD | {"webhook-timestamp": "now"}, BODY, [ONE]),
    "a negative time": (GOOD | {"webhook-timestamp": "-1"}, BODY, [ONE]),
    "a time without end": (GOOD | {"webhook-timestamp": "9" * 5000}, BODY, [ONE]),
    "no signature": (GOOD | {"webhook-signature": ""}, BODY, [ONE]),
    "a signature of another kind": (
        GOOD | {"webhook-signature": GOOD["webhook-signature"].replace("v1,", "v2,")}, BODY, [ONE],
    ),
    "what cannot be encoded": (GOOD | {"webhook-signature": "v1,\udcff"}, BODY, [ONE]),
    "no headers": ({}, BODY, [ONE]),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGED)
def test_what_does_not_hold(what: str) -> None:
    headers, body, secrets = CHANGED[what]
    with pytest.raises(WebhookError):
        verify_webhook(body, headers, secrets)


def test_a_secret_that_is_none_is_said() -> None:
    with pytest.raises(ValueError, match=r"base64|padding|data"):
        verify_webhook(BODY, GOOD, ["whsec_not base64!"])
