"""The OpenAPI document: complete, valid, up to date, and true of the running service."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import requests
import schemathesis
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import negative_data_rejection

from service import models
from service.api.openapi import document as openapi
from service.api.openapi.operation import SHARE
from service.api.openapi.operations import OPERATIONS
from service.api.openapi.samples import BASE_URL
from service.api.requests.batches import HeartbeatBatch
from service.api.requests.characters import has_unseen
from service.api.requests.heartbeats import HeartbeatBody
from service.api.requests.leaves import Leave
from service.api.requests.page_views import PageViewBody
from service.api.requests.paths import clean_path
from service.api.requests.user_statuses import UserStatusQuery
from service.api.user_tokens import User, mint
from service.app import ROUTES
from service.store.paging import write_cursor, write_user_cursor
from tests import plain
from tests.conftest import MakeService
from tests.fork_server import start
from tests.servers import Server, free_port, missing, wait_until

TOKEN = "schemathesis-token"
DOCUMENT = openapi.build()

# What a schema cannot say: normal form C, lengths in bytes, places that exist.
_path_characters = st.characters(codec="utf-8", exclude_characters="?#\x00")
_path = st.text(_path_characters, max_size=80).map(lambda text: "/" + text)
_visible = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20
).filter(lambda text: not has_unseen(text))
_is_clean = re.compile(DOCUMENT["components"]["schemas"]["HeartbeatBody"]["properties"]
                       ["currentPath"]["pattern"]).match  # fmt: skip


def _is_path(text: str) -> bool:
    try:
        return bool(clean_path(text) and _is_clean(text))
    except ValueError:  # a zero-width character beyond U+FFFF, or one that is escaped
        return False


schemathesis.openapi.format(
    "page-path", _path.map(lambda text: unicodedata.normalize("NFC", text)).filter(_is_path)
)
schemathesis.openapi.format("city", _visible)
schemathesis.openapi.format("user-name", _visible)
schemathesis.openapi.format("cursor", st.just(write_cursor(0, 1.0, "x -- /")))
schemathesis.openapi.format("user-cursor", st.just(write_user_cursor("/a\tanna")))
schemathesis.openapi.format("stream-position", st.integers(0, 2**63).map(str))

# As in the examples of the document.
BLOG, SECRET = "blog", "a secret of at least thirty-two bytes"
USERS = {"anna": "Anna Ek", "bob@example.org": None, "c:1": ""}
_tokens = [
    mint(SECRET, BLOG, User(user, name or ""), expires=time.time() + seconds)
    for user, name in USERS.items()
    for seconds in (3600, -3600)
]
schemathesis.openapi.format("site-with-users", st.just(BLOG))
schemathesis.openapi.format("known-user", st.sampled_from(list(USERS)))
schemathesis.openapi.format("user-token", st.sampled_from([*_tokens, "no token"]))

# A body over 2 KiB is refused whatever is in it, and so is one that never ends.
_BODY_LIMITS = ["408", "413"]
_CONFIG: dict[str, Any] = {
    "seed": 20_261_124,
    "generation": {
        "deterministic": True,
        "no-shrink": True,
        "allow-extra-parameters": False,  # unknown ones are ignored
        "database": "none",
    },
}


def _schema(
    *also_expected: str, examples: int = 60, document: Any = DOCUMENT, **only: list[str]
) -> Any:
    """`only`: of these checks, the statuses that are expected."""
    expected = {
        "not_a_server_error": ["2xx", "3xx", "4xx"],
        # 409: the name of a share is taken, as that of a session is not there.
        "positive_data_acceptance": ["2xx", "3xx", "404", "409", *_BODY_LIMITS],
        "negative_data_rejection": ["400", "401", "403", "404", "405", "422", *_BODY_LIMITS],
    }
    checks = {
        check: {"expected-statuses": [*statuses, *also_expected]}
        for check, statuses in (expected | only).items()
    }
    generation = _CONFIG["generation"] | {"max-examples": examples}
    config = _CONFIG | {"checks": checks, "generation": generation}
    return schemathesis.openapi.from_dict(document, config=SchemathesisConfig.from_dict(config))


@contextmanager
def _serving(redis_url: str, popen: Any = start, **more: str) -> Iterator[str]:
    """The service as a process of its own, and its URL. In this one its use of `random` would be
    laid at Hypothesis's door."""
    settings = {
        "REDIS_URL": redis_url,
        "KEY_PREFIX": "schemathesis",
        "ADMIN_TOKEN": TOKEN,
        "METRICS_TOKEN": TOKEN,
        "NEW_SESSIONS_PER_MINUTE": "0",
        "REQUESTS_PER_SECOND": "0",
        **more,
    }
    environ = {name: value for name, value in os.environ.items() if "PRESENCE_" not in name}
    environ |= {f"PRESENCE_{name}": value for name, value in settings.items()}
    port = free_port()
    process = popen(
        [sys.executable, "-m", "uvicorn", "--factory", "service.app:create_app",
         "--port", str(port), "--log-level", "warning"],
        env=environ,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _is_up(url), what="uvicorn")
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _is_up(url: str) -> bool:
    try:
        return plain.get(f"{url}/livez").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def live_service(valkey: Server) -> Iterator[str]:
    with _serving(valkey.url, popen=subprocess.Popen) as url:  # as uvicorn is started, once
        yield url


@pytest.fixture(scope="module")
def service_with_users(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its only site has users, and a token of its own."""
    sites_file = tmp_path_factory.mktemp("sites") / "sites.toml"
    sites_file.write_text(f'[{BLOG}]\ntoken = "{TOKEN}"\nuser_secrets = ["{SECRET}"]\n')
    with _serving(valkey.url, SITES_FILE=str(sites_file), KEY_PREFIX="schemathesis-users") as url:
        yield url


# What is wrong with Redis -> the commands that make it so, none: nobody listens at all. One that
# is frozen or slow is a matter of tests/faults: each answer would take its whole deadline.
FAULTS: dict[str, list[list[str | int]]] = {
    "dead": [],
    "out of memory": [["CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", 1]],
    "a replica": [["REPLICAOF", "127.0.0.1", 1]],
    "a replica that serves nothing": [
        ["CONFIG", "SET", "replica-serve-stale-data", "no"], ["REPLICAOF", "127.0.0.1", 1],
    ],
    "no permission": [["ACL", "SETUSER", "default", "-@all", "+ping"]],
    "wrong types": [
        ["SET", f"schemathesis:{{blog}}:{name}", "x"] for name in ("active", "views", "events")
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def faulty_services() -> Iterator[dict[str, str]]:
    """By fault, the service whose Redis has it."""
    with ExitStack() as stack:
        urls = {}
        for fault, commands in FAULTS.items():
            if not commands:
                urls[fault] = stack.enter_context(_serving("redis://127.0.0.1:1"))
                continue
            server = stack.enter_context(Server("valkey"))
            urls[fault] = stack.enter_context(_serving(server.url))
            for command in commands:
                server.client.execute_command(*command)
        yield urls


_live = _schema().exclude(path_regex="/live$")  # it has no end: see test_live.py
_faulty = _schema("503", examples=15).exclude(path_regex="/live$")


def _document_of_users() -> Any:
    """The document, but for valid requests, which are about this site and these users: then none
    may be answered 404."""
    document = deepcopy(DOCUMENT)
    parameters = document["components"]["parameters"]
    parameters["site"]["schema"]["format"] = "site-with-users"
    parameters["user_id"]["schema"]["format"] = "known-user"
    heartbeat = document["components"]["schemas"]["HeartbeatBody"]["properties"]
    heartbeat["userToken"]["anyOf"][0]["format"] = "user-token"
    return document


_of_users = _schema(
    examples=20, document=_document_of_users(), positive_data_acceptance=["2xx", "304"]
).include(path_regex="/(users|status|users/{user_id}|stats|heartbeats?)$")
_AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """Connections are kept: to make one, and all that goes with it, for each of thousands of
    requests would take as long as to answer it."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


def _checked(case: Any, base_url: str, session: requests.Session) -> Any:
    """The response, after all checks."""
    # OpenAPI cannot say that one excludes one.
    query = case.query or {}
    units = query.keys() & {"minutes", "hours", "days"}
    are_compared = "days" in units and "compare" in query
    if (
        len(units) > 1
        or (not units - {"minutes"} and query.get("compare", "day") != "day")
        or (are_compared and str(query.get("every", 1)) not in ("1", "7"))
        or (are_compared and query["compare"] == "day" and str(query.get("every", 1)) != "1")
    ):
        response = case.call(base_url=base_url, session=session, headers=_AUTHORIZED)
        assert response.status_code in (405, 422)
        return response
    # Of a batch, each heartbeat that is invalid is told in an answer of 200.
    # A user's id that is invalid by its type is a string like any other.
    lenient = case.path.endswith(("/heartbeats", "/{user_id}"))
    excluded = [negative_data_rejection] if lenient else []
    return case.call_and_validate(
        base_url=base_url, session=session, headers=_AUTHORIZED, excluded_checks=excluded
    )


@_live.parametrize()  # type: ignore[untyped-decorator]
def test_no_answer_contradicts_the_document(
    case: Any, live_service: str, session: requests.Session
) -> None:
    response = _checked(case, live_service, session)
    assert response.status_code < 500


@_faulty.parametrize()  # type: ignore[untyped-decorator]
def test_nor_does_one_while_redis_has_a_fault(
    case: Any, faulty_services: dict[str, str], session: requests.Session
) -> None:
    """To make a case takes longer than all faults together take to answer it."""
    for fault, url in faulty_services.items():
        try:
            _holds_while_there_is_a_fault(case, url, session)
        except BaseException as error:
            error.add_note(f"while Redis is, or has: {fault}")
            raise


def _holds_while_there_is_a_fault(case: Any, url: str, session: requests.Session) -> None:
    response = _checked(case, url, session)
    assert response.status_code < 500 or response.status_code == 503
    for _ in range(5):
        if response.elapsed < 2:
            return
        # A machine that is busy is late now and then; a service without a deadline, always.
        response = case.call(base_url=url, session=session, headers=_AUTHORIZED)
    pytest.fail(f"no answer within 2 s, but {response.elapsed:.1f} s")


@_of_users.parametrize()  # type: ignore[untyped-decorator]
def test_nor_does_one_about_users(
    case: Any, service_with_users: str, session: requests.Session
) -> None:
    """Whoever was erased by the case before is here again."""
    beats = [
        {"sessionId": f"session-of-{n:05d}", "currentPath": "/a", "userId": user, "name": name}
        for n, (user, name) in enumerate(USERS.items())
    ]
    url = f"{service_with_users}/v1/sites/{BLOG}/heartbeats"
    told = plain.post(url, json={"heartbeats": beats}, headers=_AUTHORIZED).json()
    assert told["errors"] == []
    response = _checked(case, service_with_users, session)
    assert response.status_code < 500


def test_it_is_valid_openapi() -> None:
    validate(DOCUMENT, cls=OpenAPIV31SpecValidator)


def test_it_has_every_route_and_no_other() -> None:
    routes = {
        (method, route.path)
        for route in ROUTES
        if route.include_in_schema
        for method in (route.methods or set()) - {"HEAD"}  # comes with GET
    }
    documented = {
        (method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item
    }
    assert documented == routes
    assert len({operation.id for operation in OPERATIONS}) == len(OPERATIONS)


def test_the_committed_copy_is_up_to_date() -> None:
    committed = Path(__file__).parents[2] / "docs" / "openapi.json"
    assert committed.read_text(encoding="utf-8") == openapi.text(), (
        "python -m service.api.openapi.document > docs/openapi.json"
    )


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from _nodes(child)
    elif isinstance(node, list):
        for child in node:
            yield from _nodes(child)


def test_patterns_are_plain_ecmascript() -> None:
    patterns = {
        node["pattern"] for node in _nodes(DOCUMENT) if isinstance(node.get("pattern"), str)
    }
    assert len(patterns) > 5
    for pattern in patterns:
        assert pattern.startswith("^")
        assert pattern.endswith("$")
        assert r"(?!\n)" not in pattern
        assert r"\Z" not in pattern


def test_every_reference_leads_somewhere_and_every_part_is_used() -> None:
    references = {node["$ref"] for node in _nodes(DOCUMENT) if isinstance(node.get("$ref"), str)}
    parts = {
        f"#/components/{kind}/{name}"
        for kind, named in DOCUMENT["components"].items()
        if kind != "securitySchemes"
        for name in named
    }
    # 405 is for methods that are not there, so no operation can answer it.
    assert references == parts - {"#/components/responses/MethodNotAllowed"}


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        found: Any = DOCUMENT
        for part in node["$ref"][2:].split("/"):
            found = found[part]
        node = found
    return node


def _media() -> Iterator[tuple[str, dict[str, Any]]]:
    for operation in OPERATIONS:
        described = DOCUMENT["paths"][operation.path][operation.method.lower()]
        bodies = [described.get("requestBody", {}), *described["responses"].values()]
        for body in bodies:
            for content in _resolved(body).get("content", {}).values():
                yield operation.id, content


_BODIES = {
    struct.__name__: struct
    for struct in (HeartbeatBody, HeartbeatBatch, Leave, PageViewBody, UserStatusQuery)
}


def test_every_example_decodes_as_its_struct() -> None:
    checked = 0
    for operation_id, content in _media():
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        if name and "example" in content:
            struct = _BODIES.get(name) or getattr(models, name)
            encoded = json.dumps(content["example"]).encode()
            decoded = msgspec.json.decode(
                encoded, type=struct, dec_hook=lambda kind, raw: kind(raw)
            )
            assert decoded is not None, operation_id
            checked += 1
    assert checked > 30


def _samples(language: str = "Shell") -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Each operation of the document with the sources of its code samples."""
    for item in DOCUMENT["paths"].values():
        for operation in item.values():
            samples = operation["x-codeSamples"]
            yield operation, [one["source"] for one in samples if one["lang"] == language]


def _runnable(language: str) -> dict[str, tuple[str, set[int]]]:
    """By operation a sample that ends, and the statuses that it may be answered with."""
    found = {}
    for operation, (source,) in _samples(language):
        # One never ends, the other takes a token only where one is set, as here.
        if operation["operationId"] not in ("live", "metrics"):
            statuses = {int(status) for status in operation["responses"]}
            found[operation["operationId"]] = source, {s for s in statuses if s < 300 or s == 404}
    return found


def _revoke_what_other_tests_made(live_service: str) -> None:
    """Else the share that the samples make would be there already."""
    url = f"{live_service}/v1/sites/blog/shares/{SHARE}"
    answer = httpx.delete(url, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code in (204, 404)


def test_examples_in_python_do_what_they_say(
    live_service: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PRESENCE_ADMIN_TOKEN", TOKEN)
    samples = _runnable("Python")
    assert len(samples) > 20
    _revoke_what_other_tests_made(live_service)
    for operation, (source, statuses) in samples.items():
        exec(compile(source.replace(BASE_URL, live_service), operation, "exec"), {})
        status, _, _ = capsys.readouterr().out.partition(" ")
        assert int(status) in statuses, source
    for _, sources in _samples("Python"):
        compile(sources[0], "live", "exec")


def test_examples_in_javascript_do_what_they_say(live_service: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        missing("node")
    samples = _runnable("JavaScript")
    assert len(samples) > 20
    _revoke_what_other_tests_made(live_service)
    program = tmp_path / "samples.mjs"
    program.write_text(
        "".join(
            f"{{\n{source.replace(BASE_URL, live_service)}\n}}\n" for source, _ in samples.values()
        ).replace("await response.text()", '""')
    )
    environ = os.environ | {"PRESENCE_ADMIN_TOKEN": TOKEN}
    done = subprocess.run(
        [str(node), program], env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    for status, (source, statuses) in zip(done.stdout.split(), samples.values(), strict=True):
        assert int(status) in statuses, source


async def test_every_example_of_a_200_has_the_query_that_gives_it(
    make_service: MakeService,
) -> None:
    service = await make_service(ADMIN_TOKEN=TOKEN)
    operator = {"Authorization": f"Bearer {TOKEN}"}
    checked = set()
    for operation, samples in _samples():
        example = None
        for content in operation["responses"].get("200", {}).get("content", {}).values():
            example = content.get("example", example)
        if not isinstance(example, dict) or operation["operationId"] in (
            "session",
            "endSession",
            "testWebhook",
        ):
            continue  # what is known of a session differs, and it ends once; webhooks are in a file
        if operation["tags"] == ["Users"]:
            continue  # a site has none unless it is told to: tests/api/test_users.py
        *_, source = samples
        command = re.match(r"curl -i '([^']+)'", source)
        assert command, source
        body = re.search(r"-d '([^']+)'", source)
        url = command[1].replace(BASE_URL, "")
        method = "POST" if body else "GET"
        answer = await service.client.request(
            method, url, content=body and body[1], headers=operator
        )
        assert answer.status_code == 200, source
        assert answer.json().keys() == example.keys(), source
        if "points" in example:
            assert len(answer.json()["points"]) == len(example["points"])
        checked.add(operation["operationId"])
    assert checked >= {"heartbeat", "active", "history", "views", "sessions", "stats", "readyz"}


async def test_it_is_served_as_it_is_built(make_service: MakeService) -> None:
    service = await make_service()
    answer = await service.client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == json.loads(openapi.text())


class _Outline(HTMLParser):
    """What a page loads and links to."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.handlers: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.add(value or "")
            elif name == "href" and tag == "a":
                self.links.add(value or "")
            elif name in ("src", "href", "srcset", "action"):
                self.loads.add(value or "")
            elif name.startswith("on") or name == "style":
                self.handlers.add(name)


def _outline(html: str) -> _Outline:
    outline = _Outline()
    outline.feed(html)
    return outline


async def test_the_reference_stands_alone(make_service: MakeService) -> None:
    answer = await (await make_service()).client.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "; script-src 'sha256-" in policy
    assert "; connect-src 'self'; " in policy
    assert "unsafe" not in policy
    outline = _outline(answer.text)
    assert not outline.loads
    assert not outline.handlers
    assert not outline.tags & {"img", "iframe", "link", "form", "object"}
    assert answer.text.count("<script") == 1
    # Relative, so that they hold below a proxy's prefix.
    assert {link for link in outline.links if not link.startswith("#")} == {"./", "openapi.json"}
    assert {link[1:] for link in outline.links if link.startswith("#")} <= outline.ids
    assert "light dark" in answer.text


async def test_the_reference_shows_every_endpoint(make_service: MakeService) -> None:
    page = (await (await make_service()).client.get("/docs")).text
    outline = _outline(page)
    for operation in OPERATIONS:
        assert operation.id in outline.ids
        assert f"<code>{operation.path}</code>" in page
    assert page.count("curl -i") == sum(len(samples) for _, samples in _samples())
    assert "http://127.0.0.1:8080/v1/sites/blog/heartbeat" in page


async def test_the_navigation_says_what_each_is_in_a_word_or_two(make_service: MakeService) -> None:
    page = (await (await make_service()).client.get("/docs")).text
    assert page.count('<details class="sidebar-compact">') == 1, "for a phone it is folded"
    for operation in OPERATIONS:
        entry = f'<li><a href="#{operation.id}">{operation.summary}</a></li>'
        assert page.count(entry) == 2, "once for each width"
        assert not re.match("Session S|This|Is|Does", operation.summary)
    assert {"Heartbeat", "Leave", "OpenAPI", "Reference"} <= {row.summary for row in OPERATIONS}


# Host -> what stands in the examples; empty: it is refused
@pytest.mark.parametrize(
    "host, shown",
    [
        ("presence.example.org", "http://presence.example.org/v1"),
        ("presence.example.org:8443", "http://presence.example.org:8443/v1"),
        ("[::1]:8080", "http://[::1]:8080/v1"),
        ("$(reboot)", "http://localhost:8080/v1"),
        ("a;reboot", "http://localhost:8080/v1"),
        ("<script>alert(1)</script>", ""),
        ("a'b", "http://localhost:8080/v1"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_a_forged_host_is_not_shown(
    make_service: MakeService, path: str, host: str, shown: str
) -> None:
    answer = await (await make_service()).client.get(path, headers={"Host": host})
    assert answer.status_code == (200 if shown else 400)
    assert shown in answer.text
    assert "reboot" not in answer.text
    assert "<script>" not in answer.text


# trusted proxies, X-Forwarded-Proto -> the scheme in the examples
@pytest.mark.parametrize(
    "trusted, told, scheme",
    [
        ("127.0.0.1", "https", "https"),
        ("127.0.0.1", "http", "http"),
        ("127.0.0.1", "ftp", "http"),
        ("127.0.0.1", "https://evil.example", "http"),
        ("10.0.0.0/8", "https", "http"),
        ("", "https", "http"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_examples_have_the_scheme_that_the_client_used(
    make_service: MakeService, path: str, trusted: str, told: str, scheme: str
) -> None:
    service = await make_service(TRUSTED_PROXIES=trusted)
    headers = {"Host": "presence.example.org", "X-Forwarded-Proto": told}
    page = (await service.client.get(path, headers=headers)).text
    assert set(re.findall(r"(\w+)://presence.example.org", page)) == {scheme}
