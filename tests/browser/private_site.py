"""A private site and its share tokens, as its owner makes them."""

import json
import urllib.request

from tests.browser.site import LiveService

SITES = """
[intranet]
public = false
token = "open-sesame"
user_secrets = ["a secret of thirty-two bytes, or more"]
[public]
"""


def ask(live: LiveService, method: str, path: str) -> bytes:
    request = urllib.request.Request(live.url + path, method=method)
    request.add_header("Authorization", "Bearer open-sesame")
    with urllib.request.urlopen(request) as answer:
        content: bytes = answer.read()
        return content


def make_share(live: LiveService, name: str = "lobby") -> str:
    made = json.loads(ask(live, "POST", f"/v1/sites/intranet/shares/{name}"))
    return str(made["token"])


def two_come(live: LiveService) -> None:
    """Or are still there: each time the same two."""
    beats = [{"currentPath": "/"}, {"currentPath": "/pricing", "userId": "anna"}]
    known = [{"sessionId": f"{n:032x}", **beat} for n, beat in enumerate(beats)]
    live.beat_all("intranet", known, token="open-sesame")


def revoke_all(live: LiveService) -> None:
    shares = json.loads(ask(live, "GET", "/v1/sites/intranet/shares"))["shares"]
    for share in shares:
        ask(live, "DELETE", f"/v1/sites/intranet/shares/{share['name']}")
