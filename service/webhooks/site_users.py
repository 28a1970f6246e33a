"""Who of the users of a site is here, and of whom anything is known."""

from collections.abc import Iterable

from service.store.store import PresenceStore

_AT_ONCE = 500


class SiteUsers:
    """Reads the users of a site, all of them or some. Every method raises StoreError."""

    def __init__(self, store: PresenceStore, site: str) -> None:
        self._store = store
        self._site = site

    async def here(self) -> list[str]:
        """All who are here."""
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await self._store.users(self._site, limit=_AT_ONCE, cursor=cursor, path=None)
            found += [row.userId for row in page.users]
            cursor = page.nextCursor
            if not cursor:
                return found

    async def known(self, users: Iterable[str]) -> dict[str, bool]:
        """Of these users those of whom something is known, and whether they are here."""
        known: dict[str, bool] = {}
        wanted = sorted(users)
        for first in range(0, len(wanted), _AT_ONCE):
            some = wanted[first : first + _AT_ONCE]
            states = await self._store.user_states(self._site, some)
            known |= {user: state.sessions > 0 for user, state in states.items()}
        return known
