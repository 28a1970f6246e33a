"""What docs/webhooks.md shows takes what is sent, with the public library of Python and of Node."""

import base64
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from service.webhooks.derivation import Event
from service.webhooks.messages import Message, headers_of, message_of
from tests.servers import missing
from tests.webhooks.conftest import webhook_to
from tests.webhooks.receiver import OLD_SECRET, SECRET

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "webhooks.md").read_text()
NOW_S = 1_900_000_000
EVENTS = [
    Event("evt_1", 1, "site.occupied", NOW_S * 1000, 1),
    Event("evt_2", 2, "user.online", NOW_S * 1000, 1, userId="anna"),
    Event("evt_3", 3, "page.above", NOW_S * 1000, 7, path="/größe"),
]


def shown(language: str) -> str:
    """The example of the page, with the secret of this test."""
    (block,) = re.findall(rf"```{language}\n(.*?)```\n", PAGE, re.DOTALL)
    return re.sub(r"whsec_[\w+/=]+", SECRET, block)


def sent(now_s: int, *secrets: str) -> tuple[bytes, dict[str, str]]:
    webhook = webhook_to("https://example.org/", secrets=list(secrets))
    message = message_of("blog", webhook, EVENTS)
    return message.body, headers_of(message, webhook.keys, now_s)


def in_python(body: bytes, headers: dict[str, str]) -> Any:
    names: dict[str, Any] = {}
    exec(shown("python"), names)
    return names["take"](body, headers)


def in_node(body: bytes, headers: dict[str, str]) -> Any:
    node = shutil.which("node")
    if node is None:
        missing("node")
    if not (ROOT / "client" / "node_modules" / "standardwebhooks").exists():
        missing("standardwebhooks, of `npm ci` in client/,")
    program = (
        shown("js") + "const [, body, headers] = process.argv;\n"
        "console.log(JSON.stringify(take(body, JSON.parse(headers))));\n"
    )
    done = subprocess.run(
        [node, "--input-type=module", "--eval", program, "--", body.decode(), json.dumps(headers)],
        cwd=ROOT / "client",
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ValueError(done.stderr)
    return json.loads(done.stdout)


@pytest.mark.parametrize("take", [in_python, in_node], ids=["python", "node"])
def test_the_example_takes_what_is_ours(take: Any) -> None:
    now_s = int(time.time())
    taken = take(*sent(now_s, SECRET))
    assert [event["type"] for event in taken] == [event.type for event in EVENTS]
    assert taken[0] == {
        "id": "evt_1", "seq": 1, "type": "site.occupied", "at": NOW_S * 1000, "activeVisitors": 1,
    }  # fmt: skip
    assert (taken[1]["userId"], taken[2]["path"]) == ("anna", "/größe")
    # While a secret is changed, either end may be the first.
    assert take(*sent(now_s, OLD_SECRET, SECRET)) == taken
    body, headers = sent(now_s, SECRET)
    for wrong_body, wrong_headers, why in (
        (body.replace(b"anna", b"anne"), headers, "No matching signature"),
        (body, headers | {"webhook-id": "msg_another"}, "No matching signature"),
        (body, sent(now_s, OLD_SECRET)[1], "No matching signature"),
        (*sent(now_s - 301, SECRET), "too old"),
        (body, {}, "Missing required headers"),
    ):
        with pytest.raises(Exception, match=why):
            take(wrong_body, wrong_headers)


def test_a_signature_as_the_specification_has_it() -> None:
    """Standard Webhooks' own example: secret, id, time, body and signature."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    message = Message("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}')
    headers = headers_of(message, [key], 1_614_265_330)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
