"""Small web servers of tests: the pages of others."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextlib.contextmanager
def web_server(answer: Answer) -> Iterator[int]:
    """A small web server of this test; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(ConnectionError):
                answer(self)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def answer_page(request: BaseHTTPRequestHandler, body: str) -> None:
    """Answers with a page that has this in it, whatever the path."""
    request.send_response(200)
    request.send_header("Content-Type", "text/html; charset=utf-8")
    request.end_headers()
    icon = '<link rel="icon" href="data:,">'  # or the browser would ask for one
    request.wfile.write(f"<!doctype html><title>A page</title>{icon}{body}".encode())
