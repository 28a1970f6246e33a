"""How long the stats page is busy at a time while a crowd arrives, on demand:
`python -m tests.browser.longest_task [arrivals] [seconds]`.

Chromium's trace tells it: in CPU time of the page's main thread, which other programs on the
machine do not change, and as time went by, which they do.
"""

import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.conftest import launch
from tests.browser.crowd import Crowd
from tests.browser.site import LiveService, running
from tests.servers import Server

SITE = "example.org"
BATCH = 500
SENDERS = 2


class Task(NamedTuple):
    """One task of the page's main thread, in ms."""

    cpu: float
    elapsed: float


def tasks_of(trace: bytes) -> list[Task]:
    """The tasks of the busiest renderer's main thread."""
    events = json.loads(trace)["traceEvents"]
    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    by_thread: dict[tuple[int, int], list[Task]] = {}
    for event in events:
        thread = event["pid"], event["tid"]
        if event["name"].endswith("RunTask") and "tdur" in event and thread in mains:
            task = Task(event["tdur"] / 1000, event["dur"] / 1000)
            by_thread.setdefault(thread, []).append(task)
    return max(by_thread.values(), key=lambda tasks: sum(task.cpu for task in tasks))


def send(service: LiveService, batches: list[list[dict[str, Any]]], seconds: float) -> float:
    """Sends the batches evenly over that time; how long it took."""
    began = time.monotonic()

    def send_one(number: int) -> None:
        time.sleep(max(0.0, began + seconds * number / len(batches) - time.monotonic()))
        service.beat_all(SITE, batches[number])

    with ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(send_one, range(len(batches))))
    return time.monotonic() - began


def measure(browser: Browser, service: LiveService, arrivals: int, seconds: float) -> None:
    """Prints what one page was busy with."""
    crowd = Crowd(SITE)
    crowd.arrive(service, 100)
    beats = [crowd.beat() | {"sessionId": f"arrival-{n:032d}"} for n in range(arrivals)]
    for n, beat in enumerate(beats):  # 400 pages, as a site that draws such a crowd has
        if n % 2:
            beat["currentPath"] = f"/article/{n % 400}"
    batches = [beats[at : at + BATCH] for at in range(0, arrivals, BATCH)]
    page = browser.new_page(viewport={"width": 1280, "height": 2400}, locale="en-GB")
    page.goto(f"{service.url}/sites/{SITE}")
    expect(page.locator("#map-land path").first).to_be_attached()
    expect(page.locator("#plot canvas")).to_be_visible()
    browser.start_tracing(page=page, categories=["toplevel", "devtools.timeline"])
    took = send(service, batches, seconds)
    expect(page.locator("#active")).to_have_text(f"{arrivals + 100:,}", timeout=60_000)
    page.wait_for_timeout(17_000)  # until what the stream does not carry has been fetched as well
    tasks = tasks_of(browser.stop_tracing())
    longest = sorted(tasks, reverse=True)[:5]
    print(f"{arrivals:,} arrivals in {took:.1f} s; longest tasks of the page, CPU (elapsed):")
    print("  " + ", ".join(f"{task.cpu:.0f} ms ({task.elapsed:.0f} ms)" for task in longest))


def main(arrivals: int, seconds: float) -> None:
    """Starts a service, a Valkey and Chromium, and measures."""
    with (
        Server("valkey") as server,
        tempfile.TemporaryDirectory() as folder,
        running(
            Path(folder),
            server.url,
            SESSION_TIMEOUT="120",
            HEARTBEAT_INTERVAL="30",
            LIVE_TICK="0.5",
        ) as service,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright)
        measure(browser, service, arrivals, seconds)
        browser.close()


if __name__ == "__main__":
    given = [float(text) for text in sys.argv[1:]]
    main(int(given[0]) if given else 20_000, given[1] if len(given) > 1 else 2.0)
