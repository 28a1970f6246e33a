"""The lease of one endpoint, as the copy that holds it sees it."""

import time
from collections.abc import Mapping

from service.store.webhooks import Busy, StoreWebhooks, Taken


class LeaseLost(Exception):
    """Another copy may serve the endpoint by now."""


def _elapsed(since: tuple[float, float]) -> float:
    """Seconds that have passed at least; a clock may have stood still while the machine slept, or
    have been set."""
    return max(time.monotonic() - since[0], time.time() - since[1])


class Lease:
    """Taken, renewed and given back. It ends for us before it ends for others: counted from
    before Redis was asked.

    Args:
        lease_s: how long it lasts unless renewed.
    """

    def __init__(self, store: StoreWebhooks, site: str, name: str, lease_s: float) -> None:
        self._store = store
        self._site, self._name = site, name
        self._lease_s = lease_s
        self._fence = 0
        self._since = (0.0, 0.0)

    async def take(self) -> Taken | Busy:
        """Takes it, if no other copy has it. Raises StoreError."""
        before = (time.monotonic(), time.time())
        taken = await self._store.take(self._site, self._name, round(self._lease_s * 1000))
        if isinstance(taken, Taken):
            self._fence, self._since = taken.fence, before
        return taken

    @property
    def left_s(self) -> float:
        """Seconds for which it is certainly ours."""
        return self._lease_s - _elapsed(self._since) if self._fence else 0.0

    async def renew(self, fields: Mapping[str, str] | None = None) -> int:
        """Renews it, and keeps these fields with it; Redis's time, ms.

        Raises:
            LeaseLost: it is not ours any more.
            StoreError: Redis cannot do it now.
        """
        before = (time.monotonic(), time.time())
        renewed_ms = await self._store.renew(
            self._site, self._name, self._fence, round(self._lease_s * 1000), fields or {}
        )
        if renewed_ms is None:
            self._fence = 0
            raise LeaseLost
        self._since = before
        return renewed_ms

    async def give_back(self) -> None:
        """Lets another copy have it at once. Raises StoreError."""
        fence, self._fence = self._fence, 0
        if fence:
            await self._store.renew(self._site, self._name, fence, 0, {})
