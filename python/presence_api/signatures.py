"""What is signed with a secret: tokens of users, and webhooks."""

import base64
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

import jwt

from presence_api.errors import WebhookError


def user_token(secret: str, site: str, user_id: str, *, valid_s: int = 3600, **claims: Any) -> str:
    """Says who is signed in. `valid_s`: 24 hours at most; `claims`: `name`, `avatar`, `sees`."""
    expires = int(time.time()) + valid_s
    return jwt.encode({**claims, "aud": site, "sub": user_id, "exp": expires}, secret, "HS256")


def verify_webhook(body: bytes, headers: Mapping[str, str], secrets: Iterable[str]) -> Any:
    """What a webhook says, signed as Standard Webhooks has it with one of the secrets (whsec_…).
    Raises WebhookError; of a secret that is not base64, ValueError."""
    of = {name.lower(): value for name, value in headers.items()}
    at = of.get("webhook-timestamp", "")
    if not at.isdecimal() or abs(time.time() - int(at[:20])) > 300:
        raise WebhookError("webhook-timestamp is not of the last minutes")
    message = f"{of.get('webhook-id', '')}.{at}.".encode(errors="replace") + body
    keys = [base64.b64decode(one.removeprefix("whsec_"), validate=True) for one in secrets]
    made = [b"v1," + base64.b64encode(hmac.digest(key, message, "sha256")) for key in keys if key]
    given = of.get("webhook-signature", "").encode(errors="replace").split()
    if not any(hmac.compare_digest(one, other) for one in made for other in given):
        raise WebhookError("webhook-signature is not by any of the secrets")
    return json.loads(body)
