"""How those came who are on a watched site, of sites whose pages say it."""

import asyncio

import msgspec

from service import models
from service.store.merge import TOP_LIMIT, Changes
from service.store.sources import names_in, rows_of_kinds
from service.store.store import PresenceStore

LOOK_S = 15.0  # how often to look whether a site whose pages say nothing has begun to


class SourceWatch:
    """Adds how people came to what a poller tells of one site.

    It is counted anew whenever somebody came or went, and told as a whole, so that whoever begins
    to listen at any time has it right. No event says how somebody came: the log would keep that.
    """

    def __init__(self, store: PresenceStore, site: str) -> None:
        self._store = store
        self._site = site
        self._known: set[str] = set()  # names of the last snapshot, or of those told
        self._says_it = False
        self._next_look = asyncio.get_running_loop().time() + LOOK_S

    def learn(self, numbers: models.Stats) -> None:
        """Takes over the names of a snapshot."""
        self._known = names_in(numbers)
        self._says_it = self._says_it or bool(self._known)

    async def add_to(self, changes: Changes) -> Changes:
        """The changes, with how people came. Raises StoreError."""
        change, now = changes.change, asyncio.get_running_loop().time()
        is_due = self._says_it or now >= self._next_look
        if not (is_due and (change.arrivals or change.departures)):
            return changes
        self._next_look = now + LOOK_S
        counts = await self._store.came(self._site, self._known)
        self._known = set(counts)
        self._says_it = self._says_it or bool(counts)
        if not self._says_it:
            return changes
        rows = rows_of_kinds(counts, TOP_LIMIT)
        return changes._replace(change=msgspec.structs.replace(change, **rows))
