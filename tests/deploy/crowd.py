"""Clients that use everything the public may use, steadily, and know what must come of it."""

import asyncio
import ssl
import uuid
from collections import Counter
from collections.abc import Iterable
from typing import Any

import httpx

PACE_S = 0.0125  # between two requests of a client: a balancer lets through 100 a second


class Crowd:
    """Clients, each with an address of its own on this machine, while `async with` lasts.

    Args:
        urls: where they send; each request to the next of them.
        site: the site they are on.
        tls: whose certificates are believed, for https.
    """

    def __init__(
        self, urls: Iterable[str], site: str, tls: ssl.SSLContext | bool = False, clients: int = 10
    ) -> None:
        self.site = site
        self.failures: list[str] = []
        self.answered: Counter[str] = Counter()
        self.staying: set[str] = set()  # sessions that are there at the end
        self.leaving: set[str] = set()
        self.pairs: set[tuple[str, str]] = set()  # session and path
        self._urls = list(urls)
        self.tls = tls
        self._members = [_Member(self, n) for n in range(clients)]
        self._tasks: list[asyncio.Task[None]] = []
        self._is_over = False

    async def __aenter__(self) -> "Crowd":
        self._tasks = [asyncio.create_task(member.run()) for member in self._members]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    @property
    def is_over(self) -> bool:
        """Whether to stop."""
        return self._is_over

    async def more(self, count: int = 200) -> None:
        """Waits until so many more requests were answered."""
        goal = self.answered.total() + count
        async with asyncio.timeout(60):
            while self.answered.total() < goal and not self.failures:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def stuck(self, count: int) -> None:
        """Waits until so many clients wait for the same answer for a while."""
        async with asyncio.timeout(60):
            while True:
                before = [member.sent for member in self._members]
                await asyncio.sleep(0.3)
                after = [member.sent for member in self._members]
                if sum(map(int.__eq__, before, after)) >= count:
                    return

    def client(self, n: int) -> httpx.AsyncClient:
        """The n-th client, with its address and the operator's token, which batches need."""
        transport = httpx.AsyncHTTPTransport(verify=self.tls, local_address=f"127.0.1.{n + 1}")
        headers = {"Authorization": "Bearer operator"}
        return httpx.AsyncClient(transport=transport, headers=headers, timeout=30)

    def url(self, n: int) -> str:
        """Where the n-th request goes."""
        return f"{self._urls[n % len(self._urls)]}/v1/sites/{self.site}"


class _Member:
    def __init__(self, crowd: Crowd, n: int) -> None:
        self.crowd = crowd
        self.n = n
        self.sent = 0
        self._sessions = [str(uuid.uuid4()) for _ in range(3)]

    async def run(self) -> None:
        async with self.crowd.client(self.n) as self._http:
            step = 0
            while not self.crowd.is_over and not self.crowd.failures:
                step += 1
                await self._step(step)

    async def _step(self, step: int) -> None:
        session = self._sessions[step % 3]
        await self._beat(session, f"/page-{step % 7}")
        if step % 3 == 0:
            path = f"/seen-{step % 5}"
            await self._send("view", "POST", "/views", {"sessionId": session, "path": path}, 204)
            self.crowd.pairs.add((session, path))
        if step % 4 == 0:
            await self._send("read", "GET", "/active", None, 200)
        if step % 5 == 0:
            beats = [{"sessionId": s, "currentPath": "/batch"} for s in self._sessions]
            await self._send("batch", "POST", "/heartbeats", {"heartbeats": beats}, 200)
            self.crowd.pairs |= {(s, "/batch") for s in self._sessions}
        if step % 6 == 0:
            passing = str(uuid.uuid4())
            self.crowd.leaving.add(passing)
            await self._beat(passing, "/")
            await self._send("leave", "POST", "/leave", {"sessionId": passing}, 204)

    async def _beat(self, session: str, path: str) -> None:
        if session not in self.crowd.leaving:
            self.crowd.staying.add(session)
        body = {"sessionId": session, "currentPath": path}
        await self._send("heartbeat", "POST", "/heartbeat", body, 204)
        self.crowd.pairs.add((session, path))

    async def _send(self, kind: str, method: str, path: str, body: Any, status: int) -> None:
        await asyncio.sleep(PACE_S)
        self.sent += 1
        url = self.crowd.url(self.n + self.sent) + path
        try:
            answer = await self._http.request(method, url, json=body)
        except httpx.HTTPError as error:
            self.crowd.failures.append(f"{kind}: {error!r}")
            return
        if answer.status_code != status:
            told = answer.headers.get("server", "")
            self.crowd.failures.append(f"{kind}: {answer.status_code} {answer.text[:200]} {told}")
        self.crowd.answered[kind] += 1
