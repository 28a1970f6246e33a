"""What operators watch: rules and dashboard against the real promtool, Prometheus and service."""

import json
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.site import LiveService
from tests.deploy.balancers import DEPLOY, program
from tests.servers import Server, free_port, wait_until
from tests.webhooks.receiver import Receiver, sites_file

HERE = Path(__file__).parent
DASHBOARD = json.loads((DEPLOY / "grafana" / "presence.json").read_text())
RULES = (DEPLOY / "prometheus" / "rules.yaml").read_text()


def promtool(*arguments: str | Path, text: str = "") -> str:
    """What promtool says; fails where it is not content."""
    done = subprocess.run(
        [program("promtool"), *map(str, arguments)], input=text, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def expressions() -> list[str]:
    """All of the dashboard's."""
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


@pytest.fixture(scope="module")
def service(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """One that somebody is on, of which a webhook tells."""
    folder = tmp_path_factory.mktemp("observed")
    receiver = Receiver()
    (folder / "sites.toml").write_text(f"[shop]\n{sites_file(receiver.url)}")
    made = LiveService(
        folder, valkey.url, KEY_PREFIX="observed", SESSION_TIMEOUT="120",
        HEARTBEAT_INTERVAL="30", METRICS_TOKEN="scraper", SITES_FILE=str(folder / "sites.toml"),
    )  # fmt: skip
    try:
        receiver.start()
        made.start()
        made.visitor("blog").at("/")
        yield made
    finally:
        made.close()
        receiver.stop()


@pytest.fixture(scope="module")
def exposed(service: LiveService) -> str:
    """Its metrics as they are."""
    answer = service.get("/metrics", Authorization="Bearer scraper")
    assert answer.status_code == 200
    return answer.text


def test_names_and_help(exposed: str) -> None:
    """By Prometheus's conventions."""
    assert promtool("check", "metrics", text=exposed).strip() == ""


def test_rules(tmp_path: Path) -> None:
    """Each alert fires when it should, and none when all is well."""
    promtool("check", "rules", DEPLOY / "prometheus" / "rules.yaml")
    shutil.copy(DEPLOY / "prometheus" / "rules.yaml", tmp_path)
    tests = (HERE / "rules_test.yaml").read_text()
    (tmp_path / "rules_test.yaml").write_text(tests)
    assert set(re.findall(r"alert: (\w+)", RULES)) == set(re.findall(r"alertname: (\w+)", tests))
    promtool("test", "rules", tmp_path / "rules_test.yaml")


def test_every_metric_named_is_there(exposed: str) -> None:
    """And every one that is there is on the dashboard."""
    known: dict[str, str] = dict(re.findall(r"^# TYPE (\S+) (\w+)$", exposed, re.MULTILINE))
    parts = {
        name + part: name
        for name, kind in known.items()
        for part in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",))
    }
    named = set(re.findall(r"\bpresence_\w+", " ".join(expressions()) + RULES.replace("job:", "")))
    assert not named - parts.keys()
    shown = {parts[name] for name in re.findall(r"\bpresence_\w+", " ".join(expressions()))}
    assert shown == known.keys()


def test_dashboard() -> None:
    """Nothing overlaps, everything has a name, a unit and a source that can be chosen."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not taken & cells
        assert at["x"] + at["w"] <= 24
        taken |= cells
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["datasource"]["uid"] == "${datasource}"
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == [
        "datasource", "job", "instance"
    ]  # fmt: skip


@pytest.fixture(scope="module")
def prometheus(
    service: LiveService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """The real one with the very files; only addresses, folders and how often are changed."""
    folder = tmp_path_factory.mktemp("prometheus")
    shutil.copy(DEPLOY / "prometheus" / "rules.yaml", folder)
    (folder / "presence-token").write_text("scraper")
    text = (DEPLOY / "prometheus" / "prometheus.yaml").read_text()
    assert text.count("presence-1:8080") == 1
    text = text.replace("presence-1:8080", f"127.0.0.1:{service.port}")
    text = re.sub(r"presence-[23]:8080", f"127.0.0.1:{free_port()}", text, count=1)
    text = re.sub(r"presence-3:8080", f"localhost:{service.port}", text)
    text = text.replace("/etc/prometheus", str(folder)).replace("interval: 15s", "interval: 1s")
    (folder / "prometheus.yaml").write_text(text)
    promtool("check", "config", folder / "prometheus.yaml")
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program("prometheus"), f"--config.file={folder}/prometheus.yaml",
             f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=30) as client:
            yield client
    finally:
        process.terminate()
        process.wait(20)


def asked(prometheus: httpx.Client, query: str) -> list[Any]:
    """The result of a query, empty while Prometheus starts."""
    try:
        answer = prometheus.get("/query", params={"query": query})
    except httpx.TransportError:
        return []
    if answer.status_code == 503:
        return []
    assert answer.status_code == 200, (query, answer.text)
    result: list[Any] = answer.json()["data"]["result"]
    return result


def test_scrape(prometheus: httpx.Client, service: LiveService) -> None:
    """With its token; a copy that is down is seen; every panel and rule can be computed."""
    up = wait_until(lambda: len(r := asked(prometheus, "up")) == 3 and r, 60, "three scrapes")
    assert sorted(row["value"][1] for row in up) == ["0", "1", "1"]
    wait_until(lambda: asked(prometheus, "rate(presence_cpu_seconds_total[1m]) > 0"), 60, "a rate")
    values = {
        "$__rate_interval": "1m", "$job": "presence", "$instance": ".*"
    }  # fmt: skip
    empty = []
    for expression in expressions():
        for name, value in values.items():
            expression = expression.replace(name, value)
        if not asked(prometheus, expression):
            empty.append(expression)
    # What has not happened: nothing failed, and nothing reads from replicas.
    unused = "presence_(redis_errors|dropped|replica_reads)_total|429"
    assert all(re.search(unused, e) for e in empty), empty
    assert asked(prometheus, "sum(max by (site) (presence_active_visitors))")[0]["value"][1] == "1"
    rules = prometheus.get("/rules").json()["data"]["groups"][0]["rules"]
    assert len(rules) == RULES.count("alert:")
    assert all(rule["health"] in ("ok", "unknown") for rule in rules), rules


def test_request_ids(valkey: Server, tmp_path: Path) -> None:
    """Of a request through a trusted proxy, the proxy's; else one of the service's own."""
    given = f"edge-{uuid.uuid4()}"
    service = LiveService(
        tmp_path, valkey.url, KEY_PREFIX=f"logged-{given[-6:]}", TRUSTED_PROXIES="127.0.0.1/32",
    )  # fmt: skip
    try:
        service.start()
        assert service.get("/livez", **{"X-Request-ID": given}).headers["x-request-id"] == given
        for wrong in ("a b", "x" * 65, "{}", ""):
            told = service.get("/livez", **{"X-Request-ID": wrong}).headers["x-request-id"]
            assert re.fullmatch(r"[0-9a-f]{32}", told)
        missing = service.get("/nothing-here", **{"X-Request-ID": given})
        assert (missing.status_code, missing.headers["x-request-id"]) == (404, given)
    finally:
        service.close()


# In a process of its own: what `configure_logs` sets is the whole process's.
FAILING = """
import asyncio
import httpx
from service.app import create_app
from service.ops.logs import configure_logs
from service.settings import Settings

async def fail(site, path):
    await asyncio.sleep(0)
    raise RuntimeError("of a test")

async def main():
    app = create_app(Settings.from_env({"PRESENCE_REDIS_URL": "memory://"}))
    store = app.state.context.store
    store.active = fail
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        for _ in range(2):
            answer = await client.get("/v1/sites/blog/active")
            print(answer.status_code, answer.headers["x-request-id"])
    await store.close()

configure_logs("error")
asyncio.run(main())
"""


def test_a_request_id_in_every_line() -> None:
    """Of the log: here about a fault of ours."""
    done = subprocess.run(
        [sys.executable, "-c", FAILING], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["unexpected_error"] * 2
    answers = [answer.split() for answer in done.stdout.splitlines()]
    assert [line["request_id"] for line in lines] == [told for _, told in answers]
    assert [status for status, _ in answers] == ["500"] * 2
    assert len({told for _, told in answers}) == 2
