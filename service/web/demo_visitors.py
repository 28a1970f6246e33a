"""Visitors of the demo site, who come, look around and leave."""

import json
import random
import uuid
from dataclasses import dataclass
from typing import NamedTuple

from service.sites import DEMO_SITE
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from service.web.demo_steps import TICK_S, take_steps

VISITORS = 40  # about so many are here at once
_STAY_S = (20.0, 240.0)
_READ_S = (4.0, 40.0)  # on one page
_SAYS_GOODBYE = 0.8  # the others are not heard of again, as on a phone that is put away

# Path, of which client/demo/shop.js has what is there -> how likely somebody goes there, and what
# kind of page it is.
PAGES = {
    "/demo": (8, "page"),
    "/demo/tea": (6, "list"),
    "/demo/tea/sencha": (4, "product"),
    "/demo/tea/earl-grey": (3, "product"),
    "/demo/tea/darjeeling": (2, "product"),
    "/demo/tea/rooibos": (2, "product"),
    "/demo/cups": (3, "list"),
    "/demo/cups/blue": (2, "product"),
    "/demo/cups/white": (1, "product"),
    "/demo/blog/how-to-brew": (4, "article"),
    "/demo/blog/a-visit-to-uji": (2, "article"),
    "/demo/about": (1, "page"),
}
_REFERRERS = ("", "", "news.example", "search.example", "social.example")
_DEVICES = ("phone", "phone", "phone", "desktop", "desktop", "tablet")


class _Town(NamedTuple):
    country: str
    city: str
    latitude: str
    longitude: str


_TOWNS = [
    _Town("DE", "Berlin", "52.5", "13.4"),
    _Town("DE", "Köln", "50.9", "7.0"),
    _Town("GB", "London", "51.5", "-0.1"),
    _Town("FR", "Lyon", "45.8", "4.8"),
    _Town("US", "New York", "40.7", "-74.0"),
    _Town("US", "Portland", "45.5", "-122.7"),
    _Town("BR", "São Paulo", "-23.6", "-46.6"),
    _Town("JP", "Kyoto", "35.0", "135.8"),
    _Town("IN", "Pune", "18.5", "73.9"),
    _Town("KE", "Nairobi", "-1.3", "36.8"),
    _Town("AU", "Melbourne", "-37.8", "145.0"),
    _Town("", "", "", ""),
]


@dataclass
class _Visitor:
    """Somebody on the site; times are those of the event loop, s."""

    session_id: str
    town: _Town
    referrer: str
    path: str
    leaves_at: float
    moves_at: float
    beats_at: float

    def beat(self) -> Heartbeat:
        details = {"type": PAGES[self.path][1]}
        if self.referrer:
            details["referrer"] = self.referrer
        if self.town.city:
            details["city"] = self.town.city
            details["latitude"], details["longitude"] = self.town.latitude, self.town.longitude
        device = _DEVICES[int(self.session_id, 16) % len(_DEVICES)]
        details["sources"] = f"source {self.referrer or '--'}\tdevice {device}"
        text = json.dumps(details)
        return Heartbeat(self.session_id, self.path, self.town.country, "", text, "", True)


class Visitors:
    """People who come, look around and leave, for as long as it runs.

    Args:
        interval_s: how often each of them beats.
        seed: people of the same seed do the same.
    """

    def __init__(self, store: PresenceStore, interval_s: float, seed: int | None = None) -> None:
        self._store = store
        self._interval_s = interval_s
        self._chance = random.Random(seed)  # noqa: S311  # nothing secret
        self._here: list[_Visitor] = []

    async def run(self) -> None:
        """Until it is cancelled."""
        await take_steps(self.step)

    async def step(self, now: float) -> None:
        """What they do in one tick. Raises StoreError; they do the next thing in the next one."""
        if not self._here:
            self._here = [self._arrival(now, has_been_here=True) for _ in range(VISITORS)]
        gone = [visitor for visitor in self._here if visitor.leaves_at <= now]
        self._here = [visitor for visitor in self._here if visitor.leaves_at > now]
        mean_stay_s = sum(_STAY_S) / 2
        if self._chance.random() < VISITORS / mean_stay_s * TICK_S:
            self._here.append(self._arrival(now))
        due = [visitor for visitor in self._here if min(visitor.moves_at, visitor.beats_at) <= now]
        for visitor in due:
            if visitor.moves_at <= now:
                visitor.path = self._page()
                visitor.moves_at = now + self._chance.uniform(*_READ_S)
            visitor.beats_at = now + self._interval_s
        if due:
            await self._store.heartbeats(DEMO_SITE, [visitor.beat() for visitor in due])
        for visitor in gone:
            if self._chance.random() < _SAYS_GOODBYE:
                await self._store.leave(DEMO_SITE, visitor.session_id)

    def _arrival(self, now: float, *, has_been_here: bool = False) -> _Visitor:
        stay_s = self._chance.uniform(*_STAY_S)
        return _Visitor(
            session_id=uuid.uuid4().hex,
            town=self._chance.choice(_TOWNS),
            referrer=self._chance.choice(_REFERRERS),
            path=self._page(),
            leaves_at=now + stay_s * (self._chance.random() if has_been_here else 1),
            moves_at=now + self._chance.uniform(*_READ_S),
            beats_at=now,
        )

    def _page(self) -> str:
        return self._chance.choices(list(PAGES), [weight for weight, _ in PAGES.values()])[0]
