"""A busy site, invented but always the same: who is where now, and a past of two days."""

import math
import random
import time
from typing import Any

from service.store.keys import Keys
from tests.browser.site import LiveService

PAGES = [
    "/", "/pricing", "/blog/why-heartbeats", "/docs/getting-started", "/blog", "/docs/http-api",
    "/about", "/blog/2025/12/fewer-write-conflicts", "/changelog", "/docs/self-hosting",
    "/careers", "/blog/redis-streams-in-practice", "/docs/client", "/contact", "/docs/limits",
    "/customers", "/status", "/blog/one-lua-script", "/legal/privacy", "/search",
]  # fmt: skip
PLACES = [
    ("DE", "Berlin", 52.5, 13.4),
    ("US", "New York", 40.7, -74.0),
    ("GB", "London", 51.5, -0.1),
    ("FR", "Paris", 48.9, 2.4),
    ("US", "San Francisco", 37.8, -122.4),
    ("IN", "Bengaluru", 13.0, 77.6),
    ("BR", "São Paulo", -23.5, -46.6),
    ("JP", "Tokyo", 35.7, 139.7),
    ("DE", "Köln", 50.9, 7.0),
    ("PL", "Warszawa", 52.2, 21.0),
    ("CA", "Toronto", 43.7, -79.4),
    ("AU", "Sydney", -33.9, 151.2),
    ("SE", "Stockholm", 59.3, 18.1),
    ("ZA", "Cape Town", -33.9, 18.4),
    ("NL", "Amsterdam", 52.4, 4.9),
    ("MX", "Ciudad de México", 19.4, -99.1),
    ("KR", "Seoul", 37.6, 127.0),
    ("ES", "Madrid", 40.4, -3.7),
    ("NG", "Lagos", 6.5, 3.4),
    ("AR", "Buenos Aires", -34.6, -58.4),
    ("US", "Chicago", 41.9, -87.6),
    ("IT", "Milano", 45.5, 9.2),
    ("SG", "Singapore", 1.4, 103.8),
    ("FI", "Helsinki", 60.2, 24.9),
]


class Crowd:
    """The visitors of one site, by a seeded dice."""

    def __init__(self, site: str, seed: int = 7) -> None:
        self.site = site
        self.dice = random.Random(seed)

    def beat(self) -> dict[str, Any]:
        """One visitor's heartbeat: the first pages and places are the busiest. Some are unknown."""
        dice = self.dice
        page = PAGES[min(int(dice.expovariate(0.28)), len(PAGES) - 1)]
        beat: dict[str, Any] = {
            "sessionId": f"{dice.getrandbits(128):032x}",
            "currentPath": page,
        }
        if dice.random() < 0.93:
            country, city, latitude, longitude = PLACES[
                min(int(dice.expovariate(0.16)), len(PLACES) - 1)
            ]
            beat |= {"country": country, "city": city, "latitude": latitude, "longitude": longitude}
        return beat

    def arrive(self, service: LiveService, count: int, token: str = "") -> list[dict[str, Any]]:
        """That many come at once; their heartbeats."""
        beats = [self.beat() for _ in range(count)]
        service.beat_all(self.site, beats, token)
        return beats

    def remember(self, client: Any, prefix: str, now: int) -> None:
        """Writes a past of two days, with its nights, that leads to `now` people; the service
        itself can only write the present."""
        keys = Keys(prefix).of_site(self.site)[0]
        minute_now = int(time.time()) // 60
        views_ever = 0
        for minute in range(minute_now - 2879, minute_now + 1):
            age = minute_now - minute
            day = (1 - math.cos((1440 - age) / 1440 * 2 * math.pi + 2.4)) / 2
            level = now * (0.35 + 0.75 * day) / (0.35 + 0.75 * (1 - math.cos(2.4)) / 2)
            level += now * 0.05 * math.sin(age / 7) + self.dice.gauss(0, now * 0.025)
            active = max(1, round(level))
            views = max(0, round(active * 0.42 + self.dice.gauss(0, 2)))
            views_ever += views
            name = keys.minutes_of(minute // 60)
            client.hset(
                name,
                mapping={f"peak:{minute % 60:02d}": active, f"views:{minute % 60:02d}": views},
            )
            client.expire(name, 172_800)
        hour_now = minute_now // 60
        for hour in range(hour_now - 5 * 7 * 24, hour_now):  # five weeks, weekends calmer
            day = (1 - math.cos((hour - hour_now) / 24 * 2 * math.pi + 2.4)) / 2
            calm = 0.6 if hour // 24 % 7 in (2, 3) else 1
            active = max(1, round(now * calm * (0.35 + 0.6 * day) + self.dice.gauss(0, now * 0.03)))
            mapping = {f"peak:{hour % 24:02d}": active, f"views:{hour % 24:02d}": active * 25}
            client.hset(keys.hours_of(hour), mapping=mapping)
            client.pfadd(keys.uniques_of(hour), *(f"{hour}-{n}" for n in range(active)))
        client.hset(keys.totals, mapping={"views": views_ever, "since": 1_756_944_000_000})
        shares = [0.72**n for n in range(len(PAGES))]
        for page, share in zip(PAGES, shares, strict=True):
            client.zadd(keys.top, {page: round(views_ever * share / sum(shares))})
        for name, count in (
            (keys.uniques, views_ever // 4),
            (keys.uniques_of(minute_now // 60), views_ever // 12),
        ):
            client.pfadd(name, *(f"earlier-{n}" for n in range(count)))
