"""The heartbeats all programs are given: one file of records of equal length, so that the load
generators need no memory of their own.

50,000 sessions on 500 pages. Of 20 heartbeats 12 refresh, 3 move, 1 is of a new session, and 4
repeat one of a moment ago. Turns come long after repeats, and the dedup window lies between.
"""

import math
import random
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

SESSIONS, PAGES = 50_000, 500
SHARES = {"duplicate": 0.20, "refreshed": 0.60, "moved": 0.15, "created": 0.05}
DEDUP_S = 0.25
TIMEOUT_S = 3600
REPEATED_AFTER = 100  # heartbeats: more than are on their way at once, but for batches
TURN = round(SESSIONS / (SHARES["refreshed"] + SHARES["moved"]))  # heartbeats between two turns
ORIGIN = "https://www.example.org"
AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36"
)
_PATTERN = ["duplicate"] * 4 + ["refreshed"] * 12 + ["moved"] * 3 + ["created"]
_BODY = '{"sessionId":"%s","currentPath":"%s"}'


def site(number: int) -> str:
    return f"site{number:04d}"


def path(page: int) -> str:
    return f"/blog/2025/page-{page:08d}"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One heartbeat of the mix."""

    site: str
    session: str
    path: str

    @property
    def body(self) -> str:
        return _BODY % (self.session, self.path)


SITE_LENGTH = len(site(0))
BODY_LENGTH = len(Heartbeat("", str(uuid.UUID(int=0)), path(0)).body)
RECORD_LENGTH = SITE_LENGTH + BODY_LENGTH


def sessions(sites: int = 1, seed: int = 1) -> list[Heartbeat]:
    """The sessions that are there before the first heartbeat, each on its page."""
    numbers = random.Random(seed)
    return [
        Heartbeat(site(n % sites), str(uuid.UUID(int=numbers.getrandbits(128))), path(n % PAGES))
        for n in range(SESSIONS)
    ]


def heartbeats(sites: int = 1, seed: int = 1) -> Iterator[Heartbeat]:
    """The mix, endlessly, the same for the same seed."""
    known = sessions(sites, seed)
    numbers = random.Random(seed + 1)
    order = list(range(SESSIONS))
    numbers.shuffle(order)
    page = [n % PAGES for n in range(SESSIONS)]
    sent: list[Heartbeat] = []
    turn = 0
    while True:
        kinds = _PATTERN[:]
        numbers.shuffle(kinds)
        for kind in kinds:
            if kind == "duplicate" and len(sent) >= REPEATED_AFTER:
                yield sent[-REPEATED_AFTER]
                continue
            if kind == "created":
                beat = Heartbeat(
                    site(numbers.randrange(sites)),
                    str(uuid.UUID(int=numbers.getrandbits(128))),
                    path(numbers.randrange(PAGES)),
                )
            else:
                who = order[turn % SESSIONS]
                turn += 1
                if kind == "moved":
                    page[who] = (page[who] + 1 + numbers.randrange(PAGES - 1)) % PAGES
                beat = Heartbeat(known[who].site, known[who].session, path(page[who]))
            sent.append(beat)
            if len(sent) > 4 * REPEATED_AFTER:
                del sent[:-REPEATED_AFTER]
            yield beat


def write(folder: Path, records: int, sites: int = 1) -> Path:
    """The file of at least so many records: site id and body, one after the other."""
    file = folder / f"heartbeats-{sites}"
    if not file.exists() or file.stat().st_size < records * RECORD_LENGTH:
        beats = heartbeats(sites)
        with file.open("w", encoding="ascii") as out:
            for beat in islice(beats, records):
                out.write(beat.site + beat.body)
    return file


def window_s(per_second: float, on_their_way: int) -> float:
    """The dedup window of so many heartbeats per second: as much longer than it takes to repeat
    one as it is shorter than a turn."""
    return math.sqrt((REPEATED_AFTER + on_their_way) * TURN) / per_second


def is_as_meant(outcomes: Mapping[str, int], tolerance: float = 0.03) -> bool:
    """Whether the shares of the outcomes are those that were meant, give or take."""
    total = sum(outcomes.values()) or 1
    return all(
        abs(outcomes.get(name, 0) / total - share) <= tolerance for name, share in SHARES.items()
    )
