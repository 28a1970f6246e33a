"""What an endpoint is told of the log of a site: a pure function of the log and the clock.

Whoever goes on from the state that another copy has left comes to the same events, with the same
ids. Every step leaves a state that can be kept.
"""

import hashlib
import heapq
from collections.abc import Container, Iterable, Iterator
from itertools import zip_longest

from msgspec import Struct, field

from service.models import LoggedEvent
from service.store.webhooks import Here
from service.webhook_config import Webhook
from service.webhooks.switch import NEVER, Switch

EVENTS_LOST = "events.lost"
NOWHERE = "0-0"  # before the first entry of a log


class Event(Struct, frozen=True, omit_defaults=True):
    """An event as it is sent."""

    id: str
    seq: int
    type: str
    at: int
    activeVisitors: int
    path: str | None = None
    userId: str | None = None


class State(Struct):
    """What is kept between two messages, beside the users who were told as online. `path`,
    `names_users`: what the endpoint was told of, by the sites file as it was."""

    active: int = 0
    on_page: int = 0
    seq: int = 0
    not_before: int = 0
    switches: dict[str, list[int]] = field(default_factory=dict)
    path: str = ""
    names_users: bool = False


class Derivation:
    """Follows the log for one endpoint. Events gather in `events`; `positions` say how far each
    shard's log was followed; `changed` are the users of whom something else is to be kept."""

    def __init__(self, site: str, webhook: Webhook) -> None:
        self._site = site
        self._webhook = webhook
        sustained = _ms(webhook.for_s)
        settle, cooldown = _ms(webhook.settle_s), _ms(webhook.cooldown_s)
        wanted = webhook.events
        # Only those of which something is told.
        self._switches = {
            name: (switch, kinds)
            for name, switch, kinds in (
                ("presence", Switch(0, settle, cooldown), ("site.vacated", "site.occupied")),
                ("level", Switch(sustained, sustained, cooldown), ("active.below", "active.above")),
                ("page", Switch(sustained, sustained, cooldown), ("", "page.above")),
            )
            if wanted & set(kinds)
        }
        self._names_users = bool(wanted & {"user.online", "user.offline"})
        self.state = State()
        self.positions: list[str] = []
        self.events: list[Event] = []
        # Who was told as online; and of whom all sessions are gone, since when, and when that is
        # told. Both as they are kept: an empty text, or two moments.
        self.online: dict[str, str] = {}
        self._offline: list[tuple[int, str]] = []
        self.changed: set[str] = set()

    def restore(self, state: State, online: dict[str, str]) -> bool:
        """Goes on from what was kept; whether that is of the same page, and of users as before.
        Else it must begin anew, for of others nobody has kept anything."""
        self.state = state
        if state.path != self._webhook.path:
            state.switches.pop("page", None)
        for name, (switch, _) in self._switches.items():
            if name in state.switches:
                switch.restore(state.switches[name])
        if self._names_users:
            self.online = dict(online)
        else:
            self.changed |= online.keys()  # what is not told any more is not kept
        self._offline = [(int(kept.split()[1]), user) for user, kept in self.online.items() if kept]
        heapq.heapify(self._offline)
        return (state.path, state.names_users) == (self._webhook.path, self._names_users)

    def kept(self) -> State:
        """The state as it is now."""
        self.state.path, self.state.names_users = self._webhook.path, self._names_users
        self.state.switches = {name: switch.state() for name, (switch, _) in self._switches.items()}
        return self.state

    def hold_off(self, until: int) -> None:
        """Nobody's end is told before that moment, ms: nobody could be seen for a while."""
        self.state.not_before = until
        for switch, _ in self._switches.values():
            switch.hold_off(until)
        for due, user in list(self._offline):
            if due < until:
                self._leave(user, int(self.online[user].split()[0]), until)

    def follow(self, log: Iterable[LoggedEvent], here: Container[str]) -> Iterator[None]:
        """Applies what happened, one step at a time. `here`: of the users whom the log says to have
        gone somewhere, those who are here with another session."""
        for logged in log:
            entry_id, _, shard = logged.id.partition("/")
            now = int(entry_id.partition("-")[0])
            yield from self.tell_due(now)
            self._apply(logged, now, here)
            self.positions[int(shard or 0)] = entry_id
            yield from self.tell_due(now)

    def tell_due(self, now: int) -> Iterator[None]:
        """Tells what has held long enough by that moment, in order, one step at a time; of one
        moment first who is online no more, then the site, then its numbers."""
        while True:
            dues = [
                (switch.due_at, name)
                for name, (switch, _) in self._switches.items()
                if switch.due_at != NEVER
            ]
            due_at, name = min(dues, key=lambda due: due[0], default=(now + 1, ""))
            while self._offline and not self._is_due(*self._offline[0]):
                heapq.heappop(self._offline)  # back before, or held off
            if self._offline and self._offline[0][0] <= min(due_at, now):
                _, user = heapq.heappop(self._offline)
                self._go_offline(user)
            elif due_at <= now:
                switch, kinds = self._switches[name]
                at = switch.turn()
                path = self._webhook.path if name == "page" else None
                self._tell(kinds[switch.is_on], at, path=path)
            else:
                return
            yield

    def begin_anew(
        self, here: Here, users: Iterable[str], known: Container[str], *, is_lost: bool
    ) -> Iterator[None]:
        """Goes on from what is here now, one step at a time, where the log cannot tell how that
        came: what is not as it was told is told. `users`: all who are here; `known`: who of those
        told as online is not forgotten."""
        self.positions = []
        self.state.active, self.state.on_page = here.active, here.on_page
        if is_lost:
            self._tell(EVENTS_LOST, here.now, is_wanted=True)
            yield
        self._feed(here.now, here.now)
        yield from self.tell_due(here.now)
        if self._names_users:
            present = set(users)
            for user in present:
                self._come(user, here.now)
                yield
            for user in [user for user in self.online if user not in present]:
                if user not in known:  # erased: nobody is told who that was
                    del self.online[user]
                    self.changed.add(user)
                elif not self.online[user]:
                    self._leave(user, here.now, here.now)
                yield
            yield from self.tell_due(here.now)
        self.positions = list(here.positions)

    def check(self, here: Here) -> None:
        """Takes over what is here, where the log ends there where it was followed to. A log that
        is not there any more is followed from its beginning."""
        if here.positions == self.positions:
            self.state.active, self.state.on_page = here.active, here.on_page
            self._feed(here.now, here.now)
        self.positions = [
            NOWHERE if end == NOWHERE else position
            for end, position in zip_longest(here.positions, self.positions, fillvalue=NOWHERE)
        ]

    def _apply(self, logged: LoggedEvent, now: int, here: Container[str]) -> None:
        page, state = self._webhook.path, self.state
        match logged.type:
            case "joined":
                state.active += 1
                state.on_page += logged.path == page
            case "moved":
                state.on_page += (logged.path == page) - (logged.from_ == page)
            case "left":
                state.active -= 1
                state.on_page -= logged.path == page
        self._feed(logged.at, now)
        if not self._names_users:
            return
        gone = logged.userId if logged.type == "left" else logged.fromUserId
        if logged.userId and logged.type != "left":
            self._come(logged.userId, logged.at)
        if gone and gone not in here:
            self._leave(gone, logged.at, now)

    def _feed(self, at: int, now: int) -> None:
        state = self.state
        for name, (switch, _) in self._switches.items():
            if name == "presence":
                holds: bool | None = state.active > 0
            else:
                holds = _side(state.on_page if name == "page" else state.active, self._webhook)
            switch.feed(holds, at, now, not_before=state.not_before)

    def _come(self, user: str, at: int) -> None:
        if user not in self.online:
            self._tell("user.online", at, user=user)
        if self.online.get(user) != "":
            self.online[user] = ""
            self.changed.add(user)

    def _leave(self, user: str, at: int, now: int) -> None:
        if user not in self.online:
            return
        due = max(now + _ms(self._webhook.settle_s), self.state.not_before)
        self.online[user] = f"{at} {due}"
        self.changed.add(user)
        heapq.heappush(self._offline, (due, user))

    def _is_due(self, due: int, user: str) -> bool:
        return self.online.get(user, "").endswith(f" {due}")

    def _go_offline(self, user: str) -> None:
        at = int(self.online.pop(user).split()[0])
        self.changed.add(user)
        self._tell("user.offline", at, user=user)

    def _tell(
        self,
        kind: str,
        at: int,
        *,
        path: str | None = None,
        user: str | None = None,
        is_wanted: bool = False,
    ) -> None:
        if not is_wanted and kind not in self._webhook.events:
            return
        self.state.seq += 1
        what = (self._site, self._webhook.name, kind, at, path, user, self.state.seq)
        digest = hashlib.blake2b("\n".join(map(str, what)).encode(), digest_size=12)
        self.events.append(
            Event(
                f"evt_{digest.hexdigest()}",
                self.state.seq,
                kind,
                at,
                max(self.state.active, 0),
                path,
                user,
            )
        )


def _side(count: int, webhook: Webhook) -> bool | None:
    """Whether a count is over `above` or under `below`; None: between them."""
    above, below = webhook.above, webhook.below
    if above is None:
        assert below is not None
        return count >= below
    if count > above:
        return True
    return False if below is None or count < below else None


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
