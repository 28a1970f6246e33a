"""A document of the demo site, at `/demo/document`, that colleagues open and leave: who is here,
and not only how many. Whoever opens it is a guest with a token of the service, in the demo only."""

import asyncio
import json
import random
import re
import time
import uuid
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from service.api.user_tokens import User, mint
from service.errors import FieldError
from service.sites import DEMO_SITE
from service.store.store import PresenceStore
from service.store.writer import Heartbeat
from service.web.demo_steps import take_steps

PATH = "/demo/document"
_NAMES = ("Anna Ek", "Bo Lindqvist", "Chidi Okafor", "Dora Márai", "Emil Roth", "Fumiko Sato",
          "Gül Aydın", "Hugo Costa", "Ines Vidal", "Jun Park")  # fmt: skip
_STAY_S, _AWAY_S = (15.0, 90.0), (10.0, 60.0)
_GUEST = re.compile(r"[0-9a-f]{16}\Z")
_TOKEN_S = 600


@dataclass
class _Colleague:
    """Somebody of the team; `session_id` is empty while they are away. Times are those of the event
    loop, s."""

    name: str
    session_id: str
    changes_at: float
    beats_at: float = 0.0

    @property
    def user(self) -> str:
        return self.name.split()[0].lower().encode("ascii", "ignore").decode()

    def beat(self) -> Heartbeat:
        details = json.dumps({"name": self.name})
        return Heartbeat(self.session_id, PATH, "", "", details, self.user)


class Colleagues:
    """A team that works on the document, for as long as it runs.

    Args:
        interval_s: how often each of them beats.
        seed: a team of the same seed does the same.
    """

    def __init__(self, store: PresenceStore, interval_s: float, seed: int | None = None) -> None:
        self._store = store
        self._interval_s = interval_s
        self._chance = random.Random(seed)  # noqa: S311  # nothing secret
        self._team = [_Colleague(name, "", 0.0) for name in _NAMES]

    async def run(self) -> None:
        """Until it is cancelled."""
        now = asyncio.get_running_loop().time()
        for colleague in self._team:
            colleague.changes_at = now + self._chance.uniform(0, _AWAY_S[1])
        await take_steps(self.step)

    async def step(self, now: float) -> None:
        """What they do in one tick. Raises StoreError."""
        gone = []
        for colleague in self._team:
            if colleague.changes_at > now:
                continue
            if colleague.session_id:
                gone.append(colleague.session_id)
                colleague.session_id = ""
                colleague.changes_at = now + self._chance.uniform(*_AWAY_S)
            else:
                colleague.session_id, colleague.beats_at = uuid.uuid4().hex, now
                colleague.changes_at = now + self._chance.uniform(*_STAY_S)
        due = [one for one in self._team if one.session_id and one.beats_at <= now]
        for colleague in due:
            colleague.beats_at = now + self._interval_s
        if due:
            await self._store.heartbeats(DEMO_SITE, [colleague.beat() for colleague in due])
        for session_id in gone:
            await self._store.leave(DEMO_SITE, session_id, PATH)


async def token(request: Request) -> Response:
    """A token of a guest, who may see who is on the document."""
    guest = request.query_params.get("guest", "")
    site = request.app.state.context.security.find_site(DEMO_SITE)
    if not _GUEST.match(guest) or site is None:
        raise FieldError("guest", "guest must be 16 hexadecimal digits")
    user = User(f"guest-{guest}", "You", sees=(PATH,))
    text = mint(site.user_secrets[0], DEMO_SITE, user, expires=time.time() + _TOKEN_S)
    return PlainTextResponse(text, headers={"Cache-Control": "no-store"})


ROUTE = Route("/demo/token", token)
