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
