"""uvicorn's HTTP protocol, with two differences in what counts as a request, and a limit.

Trailers are not headers: uvicorn appends them to the list it has given to the app, where a
client's trailer passes for the header of a proxy; here that list is let go when the head is
complete, and they land in one that keeps nothing. An offer to upgrade is ignored (RFC 9110, 7.8):
the parser leaves the body of such a request unread.
"""

import re
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.request_head import NEEDS_HOST, TARGET, split_target
from service.server.refusals import NO_HTTP

MOST_HEAD_BYTES = 64 * 1024
_UPGRADE_OFFER = re.compile(rb"[^,]*\b(?:upgrade|http2-settings)\b[^,]*", re.IGNORECASE)
_INVALID = "Invalid HTTP request received."


class _Trailers(list[tuple[bytes, bytes]]):
    """Stays empty."""

    def append(self, trailer: tuple[bytes, bytes]) -> None:
        """Lets it go."""


TRAILERS = _Trailers()


class PlainProtocol(HttpToolsProtocol):
    """Answers every request through the app."""

    is_upgrade_offered = False

    def data_received(self, data: bytes) -> None:
        """Leaves a connection idle on which no request begins."""
        self.parse(data)

    def on_message_begin(self) -> None:
        """The connection is in use."""
        self._unset_keepalive_if_required()
        super().on_message_begin()

    def parse(self, data: bytes) -> None:
        """Parses a request that offers to upgrade a second time, without the offer."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._ignore_upgrade(data[offer.args[0] :])
        except httptools.HttpParserError:
            self.logger.warning(_INVALID)
            self.send_400_response(_INVALID)

    def send_400_response(self, msg: str) -> None:
        """Refuses what the parser cannot read, as the service refuses all else."""
        self.transport.write(NO_HTTP)
        self.transport.close()

    def on_headers_complete(self) -> None:
        """Starts the app, unless the parser stops here for an upgrade."""
        if self.parser.should_upgrade():
            self.is_upgrade_offered = True
        else:
            self._unset_keepalive_if_required()  # the answer before it may have come in between
            scope = cast(dict[str, Any], self.scope)
            if self.parser.get_http_version() == "1.1":
                scope[NEEDS_HOST] = True
            if not self.url.startswith((b"/", b"*")):
                self.url, scope[TARGET] = split_target(self.url)
            super().on_headers_complete()
            self.headers = TRAILERS

    def on_message_complete(self) -> None:
        """The body is complete."""
        if not self.is_upgrade_offered:
            super().on_message_complete()

    def _ignore_upgrade(self, rest: bytes) -> None:
        self.is_upgrade_offered = False
        method = self.parser.get_method()
        if method == b"CONNECT":  # no headers turn a tunnel into a request
            self.send_400_response(_INVALID)
            return
        lines = [b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                value = _UPGRADE_OFFER.sub(b"", value).strip(b" ,")
            if name not in (b"upgrade", b"http2-settings") and (value or name != b"connection"):
                lines.append(b"%s: %s" % (name, value))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        self.parse(b"\r\n".join([*lines, b"", rest]))
