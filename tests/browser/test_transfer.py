"""What a first visit costs, every byte that the browser is sent counted, headers and all."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from service.web.languages import LANGUAGES
from tests.browser.board import Board
from tests.browser.conftest import CALM_PREFIX, NewContext
from tests.browser.crowd import Crowd
from tests.browser.site import LiveService
from tests.servers import Server

MOST_BYTES = 75_000


class Counter:
    """A port that leads to another, and the bytes that came back through it."""

    port = 0
    received = 0


@contextlib.contextmanager
def counting(port: int) -> Iterator[Counter]:
    """Counts what a server on a port sends to those who come by the counter's port."""
    counter = Counter()

    class Through(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as server:
                back = threading.Thread(target=self._back, args=(server,))
                back.start()
                while piece := self.request.recv(65_536):
                    server.sendall(piece)
                server.shutdown(socket.SHUT_RDWR)
                back.join()

        def _back(self, server: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while piece := server.recv(65_536):
                    counter.received += len(piece)
                    self.request.sendall(piece)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Through) as between:
        counter.port = between.server_address[1]
        thread = threading.Thread(target=between.serve_forever)
        thread.start()
        try:
            yield counter
        finally:
            between.shutdown()
            thread.join()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_first_visit_to_a_busy_site(
    calm: LiveService, site: str, new_context: NewContext, browser_valkey: Server, language: str
) -> None:
    crowd = Crowd(site)
    crowd.remember(browser_valkey.client, CALM_PREFIX, now=400)
    crowd.arrive(calm, 300)
    calm.beat_all(site, [{"currentPath": f"/article/{n}/with-a-title"} for n in range(60)])

    context = new_context(locale=language, viewport={"width": 1280, "height": 2400})
    with counting(calm.port) as counter:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{counter.port}/sites/{site}")
        expect(Board(page).now).to_have_text("360")
        expect(page.locator("#plot canvas")).to_be_visible()
        expect(page.locator("#peak")).not_to_have_text("–")
        expect(page.locator("#map-dots circle").first).to_be_visible()
        page.wait_for_load_state("load")
        parts = page.evaluate(
            """() => performance.getEntries().filter((entry) => "transferSize" in entry)
              .map(({ name, transferSize }) => `${transferSize} ${new URL(name).pathname}`)"""
        )
        context.close()  # which ends the stream, and so the proxy
    print(*parts, f"{counter.received} in all, with the stream", sep="\n")
    assert len(parts) >= 8
    assert counter.received > 40_000, "something was not counted"
    assert counter.received < MOST_BYTES, parts
