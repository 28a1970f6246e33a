"""A real receiver of webhooks: an HTTP server on a port of its own, as well or badly behaved as a
test wants."""

import contextlib
import json
import ssl
import threading
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.servers import free_port

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
OLD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Received:
    """A message as it came, and what it was answered."""

    path: str
    headers: dict[str, str]
    body: bytes
    answer: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """Its events."""
        events: list[dict[str, Any]] = json.loads(self.body)["events"]
        return events


class Receiver:
    """Answers each message as the next of `answers` says, then with 204: a status, `close`
    without an answer, or `hang` until the receiver is closed. `taken` are those it has taken."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.port = free_port()
        self.answers: deque[str] = deque()
        self.always = "204"
        self.headers: dict[str, str] = {}  # of each answer
        self.received: list[Received] = []
        self._ended = threading.Event()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/hook?of=test"

    @property
    def taken(self) -> list[dict[str, Any]]:
        """The events it has taken, in the order in which they came."""
        return [
            event for one in list(self.received) if one.answer[0] == "2" for event in one.events
        ]

    @property
    def types(self) -> list[str]:
        """Their types."""
        return [event["type"] for event in self.taken]

    def start(self) -> "Receiver":
        """Listens."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._handle(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Dies: whoever connects is refused, until it is started again."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["content-length"]))
        answer = self.answers.popleft() if self.answers else self.always
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.path, headers, body, answer))
        if answer == "hang":
            self._ended.wait(60)
        if not answer.isdigit():
            request.close_connection = True
            return
        with contextlib.suppress(OSError):
            request.send_response(int(answer))
            if answer == "101":
                request.send_header("connection", "upgrade")
                request.send_header("upgrade", "websocket")
            for header in self.headers.items():
                request.send_header(*header)
            if answer[0] == "3":
                request.send_header("location", f"http://127.0.0.1:{self.port}/elsewhere")
            request.end_headers()

    def __enter__(self) -> "Receiver":
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self.stop()


def sites_file(receiver_url: str, **more: Any) -> str:
    """The text of a sites file with one endpoint of the site `blog`."""
    table = {
        "name": "backend",
        "url": receiver_url,
        "secrets": [SECRET],
        "events": ["site.occupied", "site.vacated"],
        "allow_private": True,
    } | more
    lines = (f"{key} = {json.dumps(value)}" for key, value in table.items() if value is not None)
    users = 'user_secrets = ["0123456789abcdef0123456789abcdef"]'
    return "\n".join(['["blog"]', users, '[["blog".webhooks]]', *lines, ""])
