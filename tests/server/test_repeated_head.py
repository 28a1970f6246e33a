"""What is taken for a request with the head of one before, the parser takes for the same."""

from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.geo import NOWHERE
from service.api.intake import Sender
from service.server.repeated_head import RepeatedHead

URL = b"/v1/sites/blog/heartbeat"
HEADERS = b"Host: localhost\r\nContent-Length: %d\r\nX-Tail: 1\r\n"
LONGEST_URL = 82


def request(body: bytes = b"{}", url: bytes = URL, headers: bytes = HEADERS) -> bytes:
    return b"POST %s HTTP/1.1\r\n%s\r\n%s" % (url, headers.replace(b"%d", b"%d" % len(body)), body)


class Parsed:
    """What the parser makes of some bytes: one request as a whole and nothing else, or less."""

    def __init__(self, data: bytes) -> None:
        self.urls: list[bytes] = []
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.complete = 0
        parser: Any = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        parser.feed_data(data)
        self.method, self.version = parser.get_method(), parser.get_http_version()
        self.stays = parser.should_keep_alive()
        # The next begins where this one ended.
        parser.feed_data(request(b"next"))
        assert self.complete == 2
        assert self.body.endswith(b"next")
        self.body = self.body[: -len(b"next")]

    def on_url(self, url: bytes) -> None:
        self.urls.append(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1


def sender(**headers: bytes) -> Sender:
    known = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return Sender(known, "", "", b"", NOWHERE)


def head() -> RepeatedHead:
    kept = RepeatedHead.of(request(), LONGEST_URL, sender())
    assert kept
    return kept


@pytest.mark.parametrize(
    "data, found",
    [
        (request(), (URL, b"{}")),
        (request(b""), (URL, b"")),
        (request(b"x" * 2048), (URL, b"x" * 2048)),
        (request(b"x" * 2049), None),
        (request(b"{}\r\n\r\n"), (URL, b"{}\r\n\r\n")),
        (request(url=b"/"), (b"/", b"{}")),
        (request(url=b"/" * LONGEST_URL), (b"/" * LONGEST_URL, b"{}")),
        (request(url=b"/" * (LONGEST_URL + 1)), None),
        (request() + b"\r\n", None),
        (request()[:-1], None),
        (request()[1:], None),
        (request(headers=b"Host: localhost\r\nContent-Length: %d\r\n"), None),
        (request(headers=HEADERS + b"X: 1\r\n"), None),
        (request(headers=b"X: 1\r\n" + HEADERS), None),
        (request(headers=HEADERS.replace(b"%d", b"+%d")), None),
        (request(headers=HEADERS.replace(b"%d", b"%d ")), None),
        (request(headers=HEADERS.replace(b"%d", b"")), None),
        (request(headers=HEADERS.replace(b"%d", b"0%d")), (URL, b"{}")),
        (request().replace(b"POST", b"PUT"), None),
        (request().replace(b"1.1", b"1.0"), None),
        (request().replace(b"POST ", b"POST\t"), None),
        (request().replace(b"\r\n", b"\n"), None),
        (b"", None),
        (b"\r\n", None),
    ],
)
def test_what_has_the_same_head(data: bytes, found: tuple[bytes, bytes] | None) -> None:
    assert head().match(data) == found


@pytest.mark.parametrize(
    "data, headers",
    [
        (request()[:-1], {}),
        (request() + request(), {}),
        (request() + b"\r\n", {}),
        (b"\r\n" + request(), {}),
        (b"\r\n\r\n" + request(), {}),
        (b"\n" + request(), {}),
        (request(headers=b"Host: localhost\r\nX: Content-Length: 2\r\n"), {}),
        (request(headers=HEADERS.replace(b": %d", b":\t%d")), {}),
        (request(), {"transfer_encoding": b"chunked"}),
        (request(headers=HEADERS + b"X: " + b"x" * 4096 + b"\r\n"), {}),
    ],
)
def test_heads_that_are_not_kept(data: bytes, headers: dict[str, bytes]) -> None:
    assert RepeatedHead.of(data, LONGEST_URL, sender(**headers)) is None


CHANGES = st.lists(
    st.tuples(
        st.integers(0, 140),
        st.integers(0, 3),
        st.sampled_from([b"", b" ", b"\r\n", b"\n", b"0", b"1", b"\x00", b":", b"X: 1\r\n", b"{"]),
    ),
    max_size=3,
)


@given(body=st.binary(max_size=30), length=st.integers(0, 40), changes=CHANGES)
def test_the_parser_agrees(body: bytes, length: int, changes: list[Any]) -> None:
    """Whatever is in it: where there is a match, the parser finds the same request, that the
    connection stays, the headers of the first, and the next request right behind."""
    data = bytearray(b"POST %s HTTP/1.1\r\n%s\r\n%s" % (URL, HEADERS % length, body))
    for at, removed, added in changes:
        data[at : at + removed] = added
    found = head().match(bytes(data))
    if found is None or found[0] != URL:  # only the URL of a site is taken
        return
    parsed = Parsed(bytes(data))
    assert parsed.urls[0] == URL
    assert parsed.body == found[1]
    assert (parsed.method, parsed.version, parsed.stays) == (b"POST", "1.1", True)
    first = [(b"Host", b"localhost"), (b"X-Tail", b"1")]
    assert [one for one in parsed.headers[:3] if one[0] != b"Content-Length"] == first
    assert int(dict(parsed.headers[:3])[b"Content-Length"]) == len(found[1])
