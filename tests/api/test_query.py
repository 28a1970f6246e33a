"""Each page that a heartbeat may be on is found again by asking for it, B32."""

import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.query import parse_query
from service.api.requests.paths import clean_path
from service.server.fallback_protocol import AsgiProtocol
from service.server.fast_path import FastPathProtocol
from tests.server.test_fast_path import request, serving


def asked(query: bytes) -> dict[str, str]:
    return parse_query(Request({"type": "http", "query_string": query}))


# a query string -> the parameters
@pytest.mark.fault("B32")
@pytest.mark.parametrize(
    "query, parameters",
    [
        (b"", {}),
        (b"path=/a&label=", {"path": "/a", "label": ""}),
        (b"path=/a&path=/b", {"path": "/b"}),
        (b"path=%2Fcaf%C3%A9", {"path": "/café"}),
        (b"path=/caf%E9", {"path": "/caf%E9"}),
        (b"path=/caf%25E9", {"path": "/caf%E9"}),
        (b"path=%ED%A0%80", {"path": "%ED%A0%80"}),
        (b"path=/a%2520b", {"path": "/a%20b"}),
        (b"path=/a+b%2B", {"path": "/a b+"}),
        (b"path=/100%", {"path": "/100%"}),
        (b"path=/%zz", {"path": "/%zz"}),
        (b"a=%FF", {"a": "%FF"}),
        (b"&=&a&%00", {"": "", "a": "", "\0": ""}),
    ],
)
def test_what_a_query_says(query: bytes, parameters: dict[str, str]) -> None:
    assert asked(query) == parameters


def by_url(text: str) -> bytes:
    """A query as browsers spell it where a page's script has put a path in a URL (URL Standard,
    1.3: the special-query percent-encode set)."""
    return quote(text, safe="!$%&()*+,-./:;=?@[\\]^_`{|}~").encode()


# How a path is put into a URL. By hand, an escape that means itself must be escaped.
SPELLINGS = {
    "encodeURIComponent": lambda path: quote(path, safe="!'()*-._~").encode(),
    "URLSearchParams": lambda path: quote_plus(path, safe="*-._").encode(),
    "curl --data-urlencode": lambda path: quote(path, safe="-._~").encode(),
    "everything": lambda path: b"".join(b"%%%02x" % byte for byte in path.encode()),
    "new URL()": by_url,
}
_SYNTAX = re.compile("[&+#;]|%(?:25|2f|3f|23)", re.IGNORECASE)

_ESCAPES = ["%", "%E9", "%e9", "%C3%A9", "%c3", "%ED%A0%80", "%2F", "%2f", "%25", "%3F", "%20"]
_OTHERS = ["%26", "%2B", "+", "&", "=", ";", " ", "é", "e\u0301", "😀", "/", "?q", "#f", "25", "41"]
PATHS = st.lists(
    st.one_of(
        st.sampled_from(_ESCAPES + _OTHERS),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    ),
    max_size=12,
).map(lambda pieces: "/" + "".join(pieces))


@pytest.mark.fault("B32")
@given(PATHS)
def test_each_page_is_found_by_its_name_and_by_what_was_sent(sent: str) -> None:
    try:
        kept = clean_path(sent)
    except ValueError:
        return
    for path in (sent, kept):
        for name, spell in SPELLINGS.items():
            if spell is not by_url or not _SYNTAX.search(path):
                found = clean_path(asked(b"path=" + spell(path))["path"])
                assert found == kept, name


@pytest.mark.fault("B32")
@pytest.mark.parametrize("protocol", [FastPathProtocol, AsgiProtocol])
@pytest.mark.parametrize("path", ["/caf%E9", "/caf%e9?q=1", "/%ED%A0%80", "/é%E9é/"])
async def test_what_is_not_utf_8_is_found_by_every_read(
    protocol: type[HttpToolsProtocol], path: str
) -> None:
    name = clean_path(path)
    headers = ("Authorization: Bearer admin-token", "Connection: close")
    beat = {"sessionId": "5f1c0a53-7d7b-4f3e-9d57-3a1d8f3f6b0e", "currentPath": path}
    async with serving(protocol, ADMIN_TOKEN="admin-token") as served:

        async def ask(what: str, spelled: bytes) -> str:
            reader, writer = await served.connect()
            target = f"/v1/sites/blog/{what}?path="
            whole = request(b"", *headers, method="GET", target=f"{target}PATH")
            writer.write(whole.replace(b"PATH", spelled))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            body = await (reader.readuntil(b"}\n\n") if what == "live" else reader.read())
            writer.close()
            return body.decode()

        reader, writer = await served.connect()
        writer.write(request(beat, "Connection: close"))
        assert b"created" in await reader.read()
        writer.close()
        for spelled in (quote(name, safe="").encode(), quote(path, safe="").encode(), by_url(path)):
            assert json.loads(await ask("active", spelled))["activeVisitors"] == 1
            assert ">1</text>" in await ask("badge.svg", spelled)
            listed = json.loads(await ask("sessions", spelled))["sessions"]
            assert [row["currentPath"] for row in listed] == [name]
            assert json.dumps(name, ensure_ascii=False) in await ask("live", spelled)
