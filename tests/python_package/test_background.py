"""Heartbeats in the background: sent, at the end too, and no page waits for them or breaks."""

import functools
import hashlib
import logging
import os
import socket
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

from presence_api import Background, Presence
from tests.browser.site import LiveService
from tests.python_package.conftest import TLS, TOKEN
from tests.servers import free_port, wait_until

PYTHON = Path(__file__).parents[2] / "python"


def ids_on(service: LiveService, path: str) -> set[str]:
    """The users on a page of the site with users."""
    found = Presence(service.url, "team", TOKEN, verify=TLS)
    with found.http:
        return {user["userId"] for user in found.users(path)["users"]}


def test_it_sends_a_hash_of_the_key_and_the_newest_page_last(live_service: LiveService) -> None:
    background = Background(live_service.url, "team", TOKEN)
    for path in ("/bg/a", "/bg/b", "/bg/a"):
        background.beat("a key that opens an account", path, userId="bg")
    background.beat(None, "/bg/a", userId="nobody")
    background.beat("", "/bg/a", userId="nobody")
    background.close()
    assert ids_on(live_service, "/bg/a") == {"bg"}
    digest = hashlib.sha256(b"a key that opens an account").hexdigest()[:32]
    client = Presence(live_service.url, "team", TOKEN)
    with client.http:
        assert client.beat(digest, "/bg/a", userId="bg") == "duplicate"


def _is_on(service: LiveService, user: str) -> bool:
    return ids_on(service, "/by-itself") == {user}


def test_it_sends_by_itself(live_service: LiveService) -> None:
    background = Background(live_service.url, "team", TOKEN)
    for number in range(3):
        background.beat("key", "/by-itself", userId=f"itself{number}")
        wait_until(functools.partial(_is_on, live_service, f"itself{number}"))
    background.close()
    background.beat("key", "/by-itself", userId="too late")
    assert not background._waiting


AT_THE_END = """
import os, sys
from presence_api import Background
background = Background(*sys.argv[1:4])
background.beat("parent", "/at-the-end", userId="parent")
child = os.fork()
background.beat(str(child), "/at-the-end", userId="parent" if child else "child")
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_at_the_end_of_each_process_what_waits_is_sent(live_service: LiveService) -> None:
    """Also where it was made before the process forked, and nothing is sent twice for that."""
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_END, live_service.url, "team", TOKEN],
        env=os.environ | {"PYTHONPATH": str(PYTHON)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert ids_on(live_service, "/at-the-end") == {"parent", "child"}


def test_a_service_that_is_away_is_logged_and_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = LiveService(tmp_path, "memory://")
    background = Background(service.url, "blog")
    with caplog.at_level(logging.WARNING, "presence_api"):
        background.beat("key", "/before")
        wait_until(lambda: caplog.records, what="a warning")
    assert "no answer" in caplog.text
    service.start()
    try:
        background.beat("key", "/after")
        wait_until(lambda: service.get("/v1/sites/blog/active").json()["activeVisitors"] == 1)
        paths = [row["path"] for row in service.get("/v1/sites/blog/stats").json()["activeByPath"]]
        assert paths == ["/after"], "what was lost is not sent later"
    finally:
        background.close()
        service.close()


def test_what_is_invalid_is_logged(
    live_service: LiveService, caplog: pytest.LogCaptureFixture
) -> None:
    background = Background(live_service.url, "team", TOKEN)
    with caplog.at_level(logging.WARNING, "presence_api"):
        background.beat("key", "no path")
        background.close()
    assert "currentPath" in caplog.text


@pytest.mark.parametrize(
    "key, path, details",
    [
        ("other", "/" + "x" * 60_000, {}),
        ("other", "/\ud800", {}),
        ("other", "/", {"userId": object()}),
        ("other", ["/"], {}),
        ("other", "/", {"latitude": float("nan")}),
    ],
    ids=["too long", "a surrogate", "an object", "a list", "no number"],
)
def test_what_cannot_be_sent_takes_no_other_along(
    live_service: LiveService,
    caplog: pytest.LogCaptureFixture,
    key: Any,
    path: Any,
    details: dict[str, Any],
) -> None:
    background = Background(live_service.url, "team", TOKEN)
    page = f"/honest/{uuid.uuid4()}"
    with caplog.at_level(logging.WARNING, "presence_api"):
        background.beat("key", page, userId="honest")
        for _ in range(150):
            background.beat(key, path, **details)
        background.close()
    assert ids_on(live_service, page) == {"honest"}
    assert "a heartbeat was lost" in caplog.text


def test_a_key_may_be_a_number(live_service: LiveService) -> None:
    background = Background(live_service.url, "team", TOKEN)
    keyed: Any = background.beat
    keyed(123, "/numbered", userId="numbered")
    background.close()
    assert ids_on(live_service, "/numbered") == {"numbered"}


def test_those_that_are_limited_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = LiveService(tmp_path, "memory://", NEW_SESSIONS_PER_MINUTE="3")
    service.start()
    try:
        background = Background(service.url, "blog")
        with caplog.at_level(logging.WARNING, "presence_api"):
            for number in range(9):
                background.beat(f"key {number}", "/")
            background.close()
        assert service.get("/v1/sites/blog/active").json()["activeVisitors"] == 3
        assert "429" in caplog.text
    finally:
        service.close()


def test_nobody_waits_for_a_service_that_hangs() -> None:
    """Its peer takes the connection and says nothing, and more waits than is kept."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        background = Background(f"http://127.0.0.1:{silent.getsockname()[1]}", "blog", timeout=60)
        background.beat("key", "/")
        connection, _ = silent.accept()  # the thread is waiting for its answer now
        with connection:
            for number in range(5000):
                background.beat(f"key {number}", "/")
            assert len(background._waiting) == 1000
            background.close(0)


def test_a_pause_is_as_long_as_is_asked(caplog: pytest.LogCaptureFixture) -> None:
    """Retry-After of the service: until then there is no second request."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        background = Background(f"http://127.0.0.1:{server.getsockname()[1]}", "blog")
        background.beat("key", "/")
        connection, _ = server.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3600\r\n"
                b"Content-Length: 18\r\nConnection: close\r\n\r\n"
                b'{"detail": "busy"}'
            )
            wait_until(lambda: "busy" in caplog.text)
        background.beat("key", "/")
        wait_until(lambda: background._waiting)
        server.settimeout(2.5)  # without it a second one came after two seconds
        with pytest.raises(TimeoutError):
            server.accept()
        assert background._waiting
        threading.Thread(target=background.close, args=(30,)).start()
        server.settimeout(60)
        connection, _ = server.accept()  # at the end what waits is sent all the same
        connection.close()


def test_it_raises_nothing_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    background = Background(f"http://127.0.0.1:{free_port()}", "blog")
    monkeypatch.setattr(threading.Thread, "start", refuse)
    background.beat("key", "/")
    background.close()
