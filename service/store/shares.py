"""Share tokens of a site, in a hash: name -> SHA-256 of the token, and when it was made, ms.

One hash for all shards of a site, beside the first of them. It has no TTL: a token holds until it
is revoked. The tokens themselves are nowhere.
"""

from collections.abc import Mapping

from service.models import Share, ShareList
from service.store.runner import ScriptRunner

MOST_SHARES = 100  # of a site: each read with a token looks through all of them


class StoreShares:
    """Keeps, lists and removes the share tokens of sites, by their digests."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    async def add_share(self, site: str, name: str, digest: str) -> Share | None:
        """Keeps the digest of a token; None: the site has one of that name, or as many as it may
        have. Raises StoreError."""
        key, made_at = self._key(site), self._runner.about_now_ms()
        row = f"{digest} {made_at}"
        (count,) = await self._runner.commands([("HLEN", key)])
        if count >= MOST_SHARES:
            return None
        # Where a call is sent once more since its reply got lost, the first has made the row.
        (_, kept) = await self._runner.commands(
            [("HSETNX", key, name, row), ("HGET", key, name)],
        )
        return Share(name, made_at) if kept == row else None

    async def remove_share(self, site: str, name: str) -> bool:
        """Forgets a token; False: there is none of that name. Raises StoreError."""
        (removed,) = await self._runner.commands([("HDEL", self._key(site), name)])
        return bool(removed)

    async def shares(self, site: str) -> ShareList:
        """The shares of a site, by name. Raises StoreError."""
        rows = await self._rows(site)
        return ShareList([Share(name, int(rows[name].split()[1])) for name in sorted(rows)])

    async def share_digests(self, site: str) -> frozenset[str]:
        """The digests of the tokens that hold. Raises StoreError."""
        return frozenset(row.split()[0] for row in (await self._rows(site)).values())

    async def _rows(self, site: str) -> Mapping[str, str]:
        rows: Mapping[str, str]
        (rows,) = await self._runner.commands([("HGETALL", self._key(site))])
        return rows

    def _key(self, site: str) -> str:
        return self._runner.keys.shares(site)
