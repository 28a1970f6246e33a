"""Whatever bytes come in: no answer is a 5xx, what is kept stays inside the grammar of keys, and
memory stays where it is."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.browser.site import LiveService, running
from tests.faults.keys import grammar_faults
from tests.faults.test_abuse import memory_of
from tests.servers import Server

FUZZED = settings(
    max_examples=300,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
REFUSED = {400, 401, 403, 404, 405, 408, 411, 413, 415, 422, 429, 431, 505}
SITE = "/v1/sites/fuzz"


@pytest.fixture(scope="module")
def fuzzed(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """A service that must be well after all of it."""
    folder = tmp_path_factory.mktemp("fuzz")
    with running(folder, valkey.url, KEY_PREFIX="fuzz", GEO_HEADERS="cloudflare") as service:
        before = memory_of(service)
        yield service
        assert service.get("/livez").status_code == 200
        assert not grammar_faults(valkey.client, "fuzz")
        assert not [line for line in service.log.splitlines() if '"level": "error"' in line]
        assert memory_of(service) - before < 32 * 2**20


def answered(service: LiveService, request: bytes, *, and_no_more: bool = False) -> int:
    """The status of the first answer; 0: the connection was closed without one. `and_no_more`:
    says that nothing follows, where a request may be none."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        received = b""
        try:
            connection.sendall(request)
            if and_no_more:
                connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(65_536):
                received += data
        except ConnectionError:
            pass  # it was told what is wrong while it still sent
    return int(received.split()[1]) if received.startswith(b"HTTP/1.1 ") else 0


def post(service: LiveService, endpoint: str, body: bytes, headers: bytes = b"") -> int:
    head = f"POST {SITE}/{endpoint} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    return answered(service, head.encode() + headers + b"Connection: close\r\n\r\n" + body)


endpoints = st.sampled_from(["heartbeat", "heartbeat?counts=1", "heartbeats", "leave", "views"])
session_ids = st.one_of(
    st.text(max_size=70), st.from_regex(r"[A-Za-z0-9_-]{14,66}", fullmatch=True)
)
paths = st.one_of(
    st.text(max_size=600),
    st.text(max_size=60).map(lambda text: "/" + text),
    st.text("/%.. \\?#ä\u0301\u202e\x00\x7f{}:*", max_size=30).map(lambda text: "/" + text),
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=80))
numbers = st.floats(allow_nan=False, allow_infinity=False)
# Mostly right, so that much of it is written.
beats = st.fixed_dictionaries(
    {"sessionId": st.from_regex(r"[A-Za-z0-9_-]{16,64}", fullmatch=True), "currentPath": paths},
    optional={
        "pageType": st.one_of(st.from_regex(r"[a-z0-9_-]{1,32}", fullmatch=True), scalars),
        "referrer": st.one_of(st.text(max_size=100), scalars),
        "country": st.one_of(st.text("abcXYZ-", min_size=2, max_size=2), scalars),
        "city": st.one_of(st.text(max_size=64), scalars),
        "latitude": st.one_of(numbers.map(lambda n: n % 90), scalars),
        "longitude": st.one_of(numbers.map(lambda n: n % 180), scalars),
        "other": scalars,
    },
)


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


@FUZZED
@given(endpoint=endpoints, body=st.binary(max_size=2100))
def test_bytes_as_bodies(fuzzed: LiveService, endpoint: str, body: bytes) -> None:
    assert post(fuzzed, endpoint, body) in REFUSED | {204, 200}


@FUZZED
@given(beat=beats)
def test_heartbeats_that_are_almost_right(fuzzed: LiveService, beat: dict[str, Any]) -> None:
    assert post(fuzzed, "heartbeat", as_json(beat)) in {204, 400, 422}
    view = {"path": beat["currentPath"], **beat}
    assert post(fuzzed, "views", as_json(view)) in {204, 400, 422}
    assert post(fuzzed, "heartbeats", as_json({"heartbeats": [beat]})) in {200, 400, 422}


@FUZZED
@given(session_id=session_ids, path=paths)
def test_ids_and_paths(fuzzed: LiveService, session_id: str, path: str) -> None:
    beat = {"sessionId": session_id, "currentPath": path}
    assert post(fuzzed, "heartbeat", as_json(beat)) in {204, 400, 422}
    assert post(fuzzed, "leave", as_json({"sessionId": session_id})) in {204, 400, 422}


header_values = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=200)


@FUZZED
@given(
    headers=st.dictionaries(
        st.sampled_from(
            [
                "Origin", "User-Agent", "X-Forwarded-For", "Authorization", "CF-IPCountry",
                "CF-IPCity", "CF-IPLatitude", "CF-IPLongitude", "DNT", "Sec-GPC", "Purpose",
                "If-None-Match", "Last-Event-ID", "Host", "Expect", "Accept-Encoding", "Cookie",
            ]
        ),
        header_values,
    )
)  # fmt: skip
def test_headers(fuzzed: LiveService, headers: dict[str, str]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1")
    host = b"" if "Host" in headers else b"Host: x\r\n"  # without one, all would be refused
    beat = as_json({"sessionId": "f" * 32, "currentPath": "/headers"})
    assert post(fuzzed, "heartbeat", beat, lines) in REFUSED | {204, 0}
    for target in (f"{SITE}/stats", f"{SITE}/badge.svg", "/", "/sites/fuzz", "/presence.js"):
        request = f"GET {target} HTTP/1.1\r\n".encode() + host + lines
        request += b"Connection: close\r\n\r\n"
        assert answered(fuzzed, request) in REFUSED | {200, 304, 0}


@FUZZED
@given(target=st.text(st.characters(codec="ascii", exclude_characters=" \r\n"), max_size=80))
def test_targets(fuzzed: LiveService, target: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        for prefix in ("/", f"{SITE}/", "/v1/sites/", "/static/", "/sites/"):
            request = f"{method} {prefix}{target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            assert answered(fuzzed, request.encode()) in REFUSED | {200, 204, 304, 0}


@FUZZED
@given(request=st.binary(max_size=400))
def test_bytes_as_requests(fuzzed: LiveService, request: bytes) -> None:
    assert answered(fuzzed, request, and_no_more=True) in REFUSED | {0}
