"""The head of a request, for when the next one on its connection has the same.

A browser that keeps its connection, and a backend, say the same of themselves each time: two of
their heartbeats differ in the site, in the body and in its length. What was found out about such a
head, and that it is one of HTTP, need not be found out again.
"""

import re

from service.api.intake import Sender
from service.api.requests.sizes import MAX_BODY_BYTES

_HEAD_END = b"\r\n\r\n"
_METHOD, _VERSION = b"POST ", b" HTTP/1.1"
# As nearly everybody writes it. Whatever else the parser takes, it is asked about.
_LENGTH = re.compile(rb"\r\ncontent-length: ?([0-9]+)\r\n", re.IGNORECASE)
_MOST_DIGITS = len(str(MAX_BODY_BYTES))
_MOST_HEAD = 4096  # bytes; it is kept for as long as its connection is


class RepeatedHead:
    """What the parser has accepted as the head of a heartbeat, but for its URL and for the number
    in its Content-Length."""

    __slots__ = ("_after", "_before", "_longest_line", "sender")

    def __init__(self, before: bytes, after: bytes, longest_url: int, sender: Sender) -> None:
        self._before = before  # from the end of the request line to the number
        self._after = after  # from there to the end of the head
        self._longest_line = len(_METHOD) + longest_url + len(_VERSION) + 2
        self.sender = sender

    @classmethod
    def of(cls, data: bytes, longest_url: int, sender: Sender) -> "RepeatedHead | None":
        """The head of a heartbeat that was parsed; None, unless these bytes are one request and
        nothing else, whose body is as long as its Content-Length says, and the head not long."""
        head_length = data.find(_HEAD_END, 0, _MOST_HEAD) + len(_HEAD_END)
        # Behind an empty line, what is kept would begin with the request line: a header to others.
        if not data.startswith(_METHOD) or b"transfer-encoding" in sender.headers:
            return None
        found = _LENGTH.search(data, 0, head_length)
        if found is None or head_length + int(found[1]) != len(data):
            return None
        start, end = found.span(1)
        return cls(data[data.index(b"\r\n") : start], data[end:head_length], longest_url, sender)

    def match(self, data: bytes) -> tuple[bytes, bytes] | None:
        """The URL and the body of what came in, if it is a request with this head and nothing
        else; None: the parser is to be asked. The URL is what stands there, well-formed or not."""
        line = data.find(b"\r\n", 0, self._longest_line)
        if line < 0 or not data.startswith(self._before, line):
            return None
        start = line + len(self._before)
        end = data.find(b"\r\n", start, start + _MOST_DIGITS + 2)
        if not data.startswith(self._after, end):
            return None
        digits, body = data[start:end], data[end + len(self._after) :]
        if not digits.isdigit() or int(digits) != len(body) or len(body) > MAX_BODY_BYTES:
            return None
        if not data.startswith(_METHOD) or not data.endswith(_VERSION, 0, line):
            return None
        return data[len(_METHOD) : line - len(_VERSION)], body
