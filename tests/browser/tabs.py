"""Chromium as people use it, with tabs that are in front or hidden.

Playwright keeps every tab visible. Here only the browser's own list of tabs is used, over HTTP, so
that a tab in the background is one.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO

from tests import plain
from tests.servers import wait_until


class Tabs:
    """One browser with a profile of its own."""

    def __init__(self, program: str, arguments: list[str]) -> None:
        self._profile = Path(tempfile.mkdtemp(prefix="presence-profile-"))
        self._log = (self._profile / "log").open("wb")
        self._process = subprocess.Popen(
            [program, "--headless=new", "--remote-debugging-port=0", *arguments,
             f"--user-data-dir={self._profile}", "about:blank"],
            stdout=self._log, stderr=self._log,
        )  # fmt: skip
        port = wait_until(self._port, what="Chromium's port")
        self._http = plain.Client(base_url=f"http://127.0.0.1:{port}/json", timeout=20)
        self._first = wait_until(self._first_tab, what="Chromium's first tab")

    def _port(self) -> str | None:
        log: IO[str]
        with (self._profile / "log").open(errors="replace") as log:
            found = re.search(r"ws://127\.0\.0\.1:(\d+)/", log.read())
        return found[1] if found else None

    def _first_tab(self) -> str | None:
        pages = [tab for tab in self._http.get("/list").json() if tab["type"] == "page"]
        return str(pages[0]["id"]) if pages else None

    def open(self, url: str) -> str:
        """A new tab in front of the others; its id."""
        return str(self._http.put(f"/new?{url}").raise_for_status().json()["id"])

    def show(self, tab: str) -> None:
        """Brings a tab to the front; the one that was there is hidden."""
        self._http.get(f"/activate/{tab}").raise_for_status()

    def close(self, tab: str) -> None:
        """Closes a tab; another comes to the front."""
        self._http.get(f"/close/{tab}").raise_for_status()

    def kill(self) -> None:
        """Ends the browser as a power cut does: nobody says goodbye."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._http.close()
        self._log.close()
        shutil.rmtree(self._profile, ignore_errors=True)
