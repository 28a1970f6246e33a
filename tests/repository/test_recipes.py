"""What docs/recipes.md shows, tried as far as it can be without the programs it is for: against the
answers of a real service, and PHP with what WordPress would call."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from tests.browser.site import LiveService, running
from tests.servers import missing, wait_until

PAGE = (Path(__file__).parents[2] / "docs/recipes.md").read_text()
SERVICE = "https://presence.example.org"
TAG = f'<script defer src="{SERVICE}/presence.js" data-site="blog"></script>'


def recipe(section: str) -> str:
    """The one block of code of a section."""
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```\w+\n(.*?)```", text, re.DOTALL)
    return str(block)


@pytest.fixture(scope="module")
def live_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """A service on whose blog somebody is."""
    times = {"SESSION_TIMEOUT": "600", "HEARTBEAT_INTERVAL": "60"}
    with running(tmp_path_factory.mktemp("service"), "memory://", **times) as service:
        service.visitor("blog").at("/pricing")
        yield service


def answer_of(service: LiveService, url: str) -> Any:
    """What the service answers to an address of the page."""
    answer = service.get(url.removeprefix(SERVICE))
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_tag_is_the_same_everywhere() -> None:
    assert TAG in recipe("Astro").replace(" is:inline", "")
    assert TAG in recipe("Next.js").replace(" />", "></script>")
    assert TAG in recipe("WordPress")


@pytest.mark.parametrize("is_logged_in", [False, True])
def test_wordpress(is_logged_in: bool) -> None:
    """What WordPress calls when it writes the end of a page."""
    php = shutil.which("php") or missing("php")
    around = (
        "<?php error_reporting(E_ALL); ini_set('display_errors', '1'); $actions = [];"
        "function add_action($name, $call) { global $actions; $actions[$name][] = $call; }"
        f"function is_user_logged_in() {{ return {str(is_logged_in).lower()}; }} ?>"
    )
    after = "\nforeach ($actions['wp_footer'] as $call) { $call(); }\n"
    done = subprocess.run(
        [php], input=around + recipe("WordPress") + after, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "" if is_logged_in else TAG), done.stderr


def test_grafana(live_service: LiveService) -> None:
    query = json.loads(recipe("Grafana"))
    rows = answer_of(live_service, query["url"])[query["root_selector"]]
    by_type = {"timestamp_epoch": 1_600_000_000_000, "number": 0}
    for column in query["columns"]:
        values = [row[column["selector"]] for row in rows]
        assert all(isinstance(value, int) and value >= by_type[column["type"]] for value in values)
    assert rows[-1]["peakActive"] == 1


def test_home_assistant(live_service: LiveService) -> None:
    (asked,) = yaml.safe_load(recipe("Home Assistant"))["rest"]
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    said = answer_of(live_service, asked["resource"])
    nobody = answer_of(live_service, f"{SERVICE}/v1/sites/nobody/stats")
    shown = [
        [environment.from_string(sensor["value_template"]).render(value_json=value)
         for sensor in asked["sensor"]]
        for value in (said, nobody)
    ]  # fmt: skip
    assert shown == [["1", "/pricing"], ["0", "none"]]


def test_homepage(live_service: LiveService) -> None:
    ((group,),) = (yaml.safe_load(recipe("Homepage")),)
    blog = group["Sites"][0]["Blog"]
    said = answer_of(live_service, blog["widget"]["url"])
    assert [said[mapping["field"]] for mapping in blog["widget"]["mappings"]] == [1, 1, 1]
    page = live_service.get(blog["href"].removeprefix(SERVICE))
    assert page.headers["content-type"].startswith("text/html")


class _Slack(BaseHTTPRequestHandler):
    """Keeps what an incoming webhook is sent."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, json.loads(body)))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def test_slack(tmp_path: Path) -> None:
    """With an address of this machine in the place of Slack's: the first visitor comes."""
    slack: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Slack)
    slack.received = []
    threading.Thread(target=slack.serve_forever, daemon=True).start()
    sites = recipe("Slack").replace(
        "https://hooks.slack.com", f"http://127.0.0.1:{slack.server_port}"
    )
    (tmp_path / "sites.toml").write_text(sites + "allow_private = true\n")
    try:
        with running(tmp_path, "memory://", SITES_FILE="sites.toml") as service:
            service.visitor("blog").at("/")
            wait_until(lambda: slack.received, what="a message")
    finally:
        slack.shutdown()
        slack.server_close()
    path, said = slack.received[0]
    assert path == "/services/T000/B000/XXXX"
    assert set(said) == {"text"}
    assert "blog" in said["text"]
