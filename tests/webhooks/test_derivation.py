"""What is told of the log: cases, and any history against a plain model."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.models import LoggedEvent
from service.store.webhooks import Here
from service.webhook_config import EVENT_TYPES
from service.webhooks.derivation import Derivation, Event, State
from tests.webhooks.conftest import webhook_to
from tests.webhooks.model import Step, Told, expected

ALL = set(EVENT_TYPES)
URL = "https://example.org/"


def log_of(steps: Iterable[Step]) -> list[tuple[LoggedEvent, set[str]]]:
    """The log of a history, and who of the users is here after each entry."""
    here: dict[str, Step] = {}
    log: list[tuple[LoggedEvent, set[str]]] = []
    for n, step in enumerate(steps):
        was = here.pop(step.session, None)
        if step.path:
            here[step.session] = step
        entry: dict[str, Any] = {"sessionId": step.session, "path": step.path or "/"}
        if was is None and not step.path:
            continue
        if was is None:
            entry |= {"type": "joined", "userId": step.user or None}
        elif not step.path:
            entry |= {"type": "left", "path": was.path, "userId": was.user or None}
        elif was.user != step.user:
            assert was.path == step.path
            entry |= {
                "type": "identified",
                "userId": step.user or None,
                "fromUserId": was.user or None,
            }
        else:
            entry |= {"type": "moved", "from_": was.path, "userId": step.user or None}
        log.append(
            (
                LoggedEvent(id=f"{step.at}-{n}", at=step.at, **entry),
                {other.user for other in here.values()},
            )
        )
    return log


def told_by(derivation: Derivation, steps: Iterable[Step], ends: int) -> list[Event]:
    """The events of a history. Between any two steps another copy may go on from what is kept."""
    for logged, here in log_of(steps):
        for _ in derivation.follow([logged], here):
            _hand_over(derivation)
    for _ in derivation.tell_due(ends):
        _hand_over(derivation)
    return derivation.events


def _hand_over(derivation: Derivation) -> None:
    state = msgspec.json.decode(msgspec.json.encode(derivation.kept()), type=State)
    derivation.restore(state, dict(derivation.online))


def derive(steps: Iterable[Step], ends: int, **rules: Any) -> list[Told]:
    """The events of a history, in seconds, by the rules of a table."""
    wanted = rules.pop("events", [*EVENT_TYPES])
    given: dict[str, Any] = {"path": "/p", "above": 2, "below": 2} | rules
    if not set(wanted) & {"page.above"}:
        del given["path"]
    if not set(wanted) & {"page.above", "active.above", "active.below"}:
        del given["above"], given["below"]
    given = {key: value for key, value in given.items() if value is not None}
    derivation = Derivation("blog", webhook_to(URL, events=wanted, **given))
    derivation.positions = ["0-0"]
    in_ms = [step._replace(at=step.at * 1000) for step in steps]
    return [
        Told(event.type, event.at // 1000, event.activeVisitors, event.userId or event.path or "")
        for event in told_by(derivation, in_ms, ends * 1000)
    ]


A, B, C, D = "a", "b", "c", "d"
CASES: list[tuple[str, list[Step], dict[str, Any], list[Told]]] = [
    (
        "one comes and goes",
        [Step(1, A, "/"), Step(5, A)],
        {"events": ["site.occupied", "site.vacated"], "settle": 5},
        [Told("site.occupied", 1, 1), Told("site.vacated", 5, 0)],
    ),
    (
        "back before it settles",
        [Step(1, A, "/"), Step(5, A), Step(9, B, "/")],
        {"events": ["site.occupied", "site.vacated"], "settle": 5},
        [Told("site.occupied", 1, 1)],
    ),
    (
        "back as it settles",
        [Step(1, A, "/"), Step(5, A), Step(10, B, "/")],
        {"events": ["site.occupied", "site.vacated"], "settle": 5},
        [Told("site.occupied", 1, 1), Told("site.vacated", 5, 0), Told("site.occupied", 10, 1)],
    ),
    (
        "more than two, for long enough",
        [Step(1, A, "/"), Step(2, B, "/"), Step(3, C, "/")],
        {"events": ["active.above"], "for": 10},
        [Told("active.above", 3, 3)],
    ),
    (
        "more than two, too short",
        [Step(1, A, "/"), Step(2, B, "/"), Step(3, C, "/"), Step(12, C)],
        {"events": ["active.above"], "for": 10},
        [],
    ),
    (
        "between below and above nothing is told",
        [*(Step(n, s, "/") for n, s in enumerate("abcd", 1)), Step(6, D), Step(7, C),
         Step(8, C, "/"), Step(9, D, "/"), Step(10, B), Step(11, C), Step(12, D)],
        {"events": ["active.above", "active.below"], "above": 3, "below": 2},
        [Told("active.above", 4, 4), Told("active.below", 12, 1)],
    ),
    (
        "not again before it has cooled down",
        [Step(1, A, "/"), Step(2, A), Step(3, A, "/"), Step(4, A), Step(5, A, "/")],
        {"events": ["active.above"], "above": 0, "below": None, "cooldown": 30},
        [Told("active.above", 1, 1), Told("active.above", 5, 1)],
    ),
    (
        "what is over when it has cooled down is not told",
        [Step(1, A, "/"), Step(2, A), Step(3, A, "/"), Step(4, A)],
        {"events": ["active.above"], "above": 0, "below": None, "cooldown": 30},
        [Told("active.above", 1, 1)],
    ),
    (
        "a page is busy, the site is busier",
        [Step(1, A, "/p"), Step(2, B, "/"), Step(3, C, "/p"), Step(4, B, "/p")],
        {"events": ["page.above"], "above": 2, "below": None},
        [Told("page.above", 4, 3, "/p")],
    ),
    (
        "a user with two sessions",
        [Step(1, A, "/", "anna"), Step(2, B, "/", "anna"), Step(3, A), Step(9, B)],
        {"events": ["user.online", "user.offline"], "settle": 5},
        [Told("user.online", 1, 1, "anna"), Told("user.offline", 9, 0, "anna")],
    ),
    (
        "a session goes on as another user",
        [Step(1, A, "/", "anna"), Step(2, A, "/", "ben"), Step(3, A, "/")],
        {"events": ["user.online", "user.offline"], "settle": 0},
        [Told("user.online", 1, 1, "anna"), Told("user.online", 2, 1, "ben"),
         Told("user.offline", 2, 1, "anna"), Told("user.offline", 3, 1, "ben")],
    ),
]  # fmt: skip


@pytest.mark.parametrize("steps, rules, told", [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_cases(steps: list[Step], rules: dict[str, Any], told: list[Told]) -> None:
    assert derive(steps, 100, **rules) == told


PATHS = st.sampled_from(["/", "/p", "/q", ""])
STEPS = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from("abcde"), PATHS, st.sampled_from(["", "u", "v"])),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(
    STEPS,
    st.integers(0, 3),
    st.integers(1, 4),
    st.integers(0, 6),
    st.integers(0, 6),
    st.sets(st.sampled_from(sorted(ALL)), min_size=1),
)
def test_any_history_is_told_as_the_model_has_it(
    moves: list[tuple[int, str, str, str]],
    above: int,
    below: int,
    for_: int,
    settle: int,
    wanted: set[str],
) -> None:
    below = min(below, above + 1)
    now, steps = 0, []
    here: dict[str, Step] = {}
    for gap, session, path, user in moves:
        now += gap
        if session in here and here[session].user != user and path:
            path = here[session].path  # as another user it goes on where it is
        step = Step(now, session, path, user)
        here[session] = step
        if not path:
            del here[session]
        steps.append(step)
    rules = {"above": above, "below": below, "settle": settle, "path": "/p"}
    found = derive(steps, now + 20, events=sorted(wanted), **{"for": for_}, **rules)
    should = expected(steps, wanted, now + 20, for_=for_, **rules)
    assert sorted(found) == sorted(should), json.dumps(steps)
    assert [one.type for one in found if one.name == ""] == [
        one.type for one in should if one.name == ""
    ]


def test_who_goes_on_from_what_another_kept_comes_to_the_same() -> None:
    """Ids and all."""
    steps = [Step(n * 1000, s, "/", "u") for n, s in enumerate("abc", 1)] + [Step(9000, "a")]

    def ids(*, is_handed_over: bool) -> list[Event]:
        derivation = Derivation("blog", webhook_to(URL, events=["site.occupied", "user.online"]))
        derivation.positions = ["0-0"]
        if is_handed_over:
            return list(told_by(derivation, steps, 20_000))
        for logged, here in log_of(steps):
            list(derivation.follow([logged], here))
        return derivation.events

    assert ids(is_handed_over=True) == ids(is_handed_over=False)


def derivation_of(**more: Any) -> Derivation:
    kinds = ["site.occupied", "site.vacated", "user.online", "user.offline"]
    return Derivation("blog", webhook_to(URL, events=kinds, **more))


def test_it_begins_with_who_is_here() -> None:
    derivation = derivation_of()
    list(derivation.begin_anew(Here(5000, ["7-0"], 2, 0), ["anna"], set(), is_lost=False))
    assert [event.type for event in derivation.events] == ["site.occupied", "user.online"]
    assert derivation.positions == ["7-0"]


def test_what_is_lost_is_said_first_and_then_what_is_new() -> None:
    derivation = derivation_of()
    list(derivation.begin_anew(Here(5000, ["7-0"], 2, 0), ["anna", "ben"], set(), is_lost=False))
    derivation.events.clear()
    here = Here(9000, ["9-0"], 1, 0)
    list(derivation.begin_anew(here, ["ben", "carl"], {"anna"}, is_lost=True))
    assert [(event.type, event.userId, event.activeVisitors) for event in derivation.events] == [
        ("events.lost", None, 1), ("user.online", "carl", 1), ("user.offline", "anna", 1),
    ]  # fmt: skip


def test_nobody_is_told_who_was_erased() -> None:
    derivation = derivation_of()
    list(derivation.begin_anew(Here(5000, ["7-0"], 1, 0), ["anna"], set(), is_lost=False))
    derivation.events.clear()
    derivation.changed.clear()
    list(derivation.begin_anew(Here(9000, ["9-0"], 0, 0), [], set(), is_lost=False))
    assert [event.type for event in derivation.events] == ["site.vacated"]
    assert (derivation.online, derivation.changed) == ({}, {"anna"})


def test_a_crowd_that_comes_back_was_never_gone() -> None:
    derivation = derivation_of(settle=5)
    list(derivation.begin_anew(Here(5000, ["7-0"], 1, 0), ["anna"], set(), is_lost=False))
    derivation.events.clear()
    left = LoggedEvent("9000-0", 9000, "left", "a", "/", userId="anna")
    list(derivation.follow([left], set()))
    derivation.hold_off(40_000)
    _hand_over(derivation)
    assert not list(derivation.tell_due(39_999))
    joined = LoggedEvent("39999-0", 39_999, "joined", "a", "/", userId="anna")
    list(derivation.follow([joined], set()))
    list(derivation.tell_due(99_999))
    assert not derivation.events
