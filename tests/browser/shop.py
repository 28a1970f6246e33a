"""A site of somebody's, on an origin of its own, whose pages carry the script tag."""

import contextlib
import threading
from collections.abc import Iterator
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>shop</title>
<link rel="icon" href="data:,">{head}{tags}</head><body><h1>{path}</h1>
<b id="all" data-presence-count></b> <b id="here" data-presence-count="{path}"></b></body></html>"""


class Shop:
    """Serves a page at every path. `attributes` are those of the script tag; `tags` how often it
    stands there; `head` comes before it. Pages below /plain have none."""

    def __init__(
        self, service_url: str, attributes: str = "", tags: int = 1, head: str = ""
    ) -> None:
        tag = (
            f'<script defer src="{service_url}/presence.js" data-site="shop" data-allow-localhost'
            f" {attributes}></script>"
        )

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                here = "" if path.startswith("/plain") else tag * tags
                body = PAGE.format(head=head, tags=here, path=escape(path)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextlib.contextmanager
    def open(self) -> Iterator["Shop"]:
        """Serves until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()
