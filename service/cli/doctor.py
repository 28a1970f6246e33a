"""`presence doctor`."""

import contextlib
from collections import Counter

import click
from rich.text import Text

from service.cli.cells import shown
from service.cli.columns import Column, Columns, Space
from service.cli.glyphs import UNICODE
from service.cli.group import Failure
from service.cli.printing import print_lines, space_on, stderr, stdout
from service.cli.reading import open_store, optional_site_argument, reachable, run, with_demo
from service.errors import StoreError, WrongTypeError
from service.ops.doctor import PATIENCE_S, Checkup, Doctor
from service.ops.prune import prune_paths
from service.ops.site_load import SiteLoad
from service.redis.client import connect
from service.settings import Settings
from service.store.from_settings import store_config_of
from service.store.keys import Keys

_SHOWN = 20  # findings of one kind; the rest are counted
_NAMED = 5  # paths that --prune-paths names; the rest are counted
_TITLES = (
    "key of a wrong type",
    "invariant 1, counters are what the members add up to",
    "invariant 2, every active session has its hash",
    "invariant 3, events replay to who is active",
    "invariant 4, totals are what was viewed",
    "invariant 5, keys expire",
    "invariant 6, users are here whose sessions are",
)
_CHECKS = (  # by the number of the invariant: its name, what it looks at, and of what
    ("types", "every key has the Redis type it should have", "keys"),
    ("1 counters", "counts of pages, countries and places add up", "counters"),
    ("2 sessions", "every active session has its hash", "sessions"),
    ("3 events", "the event log, replayed, gives who is active", "events"),
    ("4 totals", "totals are the sums of pages and of views", "views"),
    ("5 expiry", "every key expires, but the all-time totals", "keys"),
    ("6 users", "users are here exactly if their sessions are", "users"),
)
_COLUMNS = (
    Column(""),
    Column("check"),
    Column("looks at", least=44),
    Column("looked at", is_number=True, rank=1),
)
_STYLES = {"passed": "green", "failed": "bold red", "skipped": "yellow"}


@click.command(short_help="Check that the data in Redis is consistent, and repair it.")
@optional_site_argument
@click.option(
    "--repair",
    is_flag=True,
    help="Recount pages, countries and places; write missing hashes, events and TTLs.",
)
@click.option(
    "--prune-paths",
    "is_pruned",
    is_flag=True,
    help="First give up the rows of paths that were seldom viewed; their views count as __other__.",
)
@click.option(
    "--at-most",
    "most",
    metavar="VIEWS",
    type=click.IntRange(min=1),
    help="With --prune-paths: of paths viewed at most so often.  [default: 1]",
)
def doctor(site: str | None, repair: bool, is_pruned: bool, most: int | None) -> None:
    """Check that the data in Redis of SITE, or of every site, is consistent.

    It can run at any time, on a busy site too. Exit code 1 means that something is wrong, or with
    --repair, that something still is.

    On a terminal it lists its checks first, each with a mark: ✓ all is well, ✗ something is not,
    – there was nothing to look at, or a key of a wrong type was in the way. These are:

    \b
    1  each page's and country's counter is what the members of `active` add up to
    2  every active session has its hash, on the same page
    3  replaying `events` gives exactly `active`: joined, moved …, left, in order
    4  totals are the sum of `top`, and what was ever appended to `views`
    5  every key has a TTL, except the all-time totals
    6  a user is here exactly when a session of theirs is, on exactly their pages
    """
    if most and not is_pruned:
        raise click.UsageError("--at-most says which rows --prune-paths gives up: give both.")
    pruned_to = (most or 1) if is_pruned else None
    settings = Settings.from_env()
    with reachable(settings):
        with contextlib.suppress(StoreError):  # the check below reports it
            settings = with_demo(settings, site)
        is_well = run(_examine(settings, site, repair, pruned_to))
    if not is_well:
        click.get_current_context().exit(1)


async def _examine(
    settings: Settings, site: str | None, repair: bool, pruned_to: int | None
) -> bool:
    with contextlib.suppress(StoreError):  # the check below reports it
        async with open_store(settings):
            pass  # split as these settings say; otherwise nothing would be found, and all be well
    connection = connect(settings.redis_url, answer_within_s=PATIENCE_S)
    keys = Keys(settings.key_prefix, settings.shards, has_users=settings.sites.has_users)
    console = stderr()
    try:
        spinner = "dots" if space_on(console).glyphs is UNICODE else "line"
        with console.status("looking", spinner=spinner) as status:
            doctor = Doctor(
                connection,
                keys,
                store_config_of(settings),
                progress=lambda what, keys: status.update(
                    Text(f"looking at {what} ({keys} keys so far)")
                ),
            )
            checkup = await doctor.check(site)
            if site is not None and checkup.keys == 0:
                raise Failure(f"nothing is kept of a site {site!r}")
            if pruned_to is not None:
                status.stop()  # it would stand in the middle of what is printed
                for name in checkup.sites:
                    rows: Counter[str] = Counter()
                    said = ""
                    for shard in keys.of_site(name):
                        try:
                            rows.update(dict(await prune_paths(connection, shard, pruned_to)))
                        except WrongTypeError:
                            said = "a key of a wrong type is in the way of its paths"
                    line = f"{name}: {_given_up(rows, pruned_to) if rows or not said else said}"
                    stdout().print(Text(shown(line), "cyan"), soft_wrap=True)
                status.start()
                checkup = await doctor.check(site)
            status.stop()
            is_well = _report(checkup)
            if is_well or not repair:
                return is_well
            for line in await doctor.repair(checkup):
                stdout().print(Text(f"repaired: {shown(line)}", "cyan"), soft_wrap=True)
            status.start()
            checkup = await doctor.check(site)
            status.stop()
            return _report(checkup)
    finally:
        await connection.close()


def _given_up(rows: Counter[str], most: int) -> str:
    """What --prune-paths did; the paths with most views of those that it gave up are named."""
    times = "once" if most == 1 else f"at most {most:,} times"
    if not rows:
        return "no path was viewed so seldom"
    named = [f"{path} ({views:,})" for path, views in rows.most_common(_NAMED)]
    if len(rows) > len(named):
        named.append(f"and {len(rows) - len(named):,} more")
    paths = f"{len(rows):,} path{'s' * (len(rows) > 1)}"
    return f"gave up the rows of {paths} viewed {times}: {', '.join(named)}"


def _report(checkup: Checkup) -> bool:
    """Prints the checks, to a person; a line for each site that is well, and what is wrong with the
    others."""
    console = stdout()
    if console.is_terminal:
        print_lines(console, [*_checks(checkup, space_on(console)), Text()])
    for site in checkup.sites:
        if not checkup.of_site(site):
            console.print(Text(f"{site}: all is well", "green"), soft_wrap=True)
    if not checkup.sites and not checkup.findings:
        console.print(Text("no site is known here: all is well", "green"))
    for site in sorted({finding.site for finding in checkup.findings}):
        for invariant in range(len(_TITLES)):
            found = [f for f in checkup.of_site(site) if f.invariant == invariant]
            if not found:
                continue
            name = site or "no site's"
            console.print(Text(f"{name}: {_TITLES[invariant]}", "bold red"), soft_wrap=True)
            for finding in found[:_SHOWN]:
                line = f"  {shown(finding.key)} {shown(finding.what)}"
                console.print(Text(line), soft_wrap=True)
            if len(found) > _SHOWN:
                console.print(Text(f"  … and {len(found) - _SHOWN} more"))
    for site, number in checkup.foldable.items():
        shards = "an earlier shard" if number == 1 else f"{number} earlier shards"
        line = f"{site}: is read from {shards} as well; `presence shards {site} --compact` folds "
        line += "what it has counted" if number == 1 else "what they have counted"
        console.print(Text(line), soft_wrap=True)
    for site in sorted(checkup.needless):
        line = (
            f"{site}: shards that are folded are there still; `presence shards {site} --compact` "
        )
        console.print(Text(f"{line}removes them"), soft_wrap=True)
    for load in checkup.loads:
        console.print(Text(load_line(load, checkup.nodes)), soft_wrap=True)
    return not checkup.findings


def load_line(load: SiteLoad, nodes: int) -> str:
    """What a site takes of Redis, and what would help if it is much."""
    line = (
        f"{load.site}: {load.per_second:,.0f} heartbeats a second are written, about "
        f"{load.cores:.2f} of a core of Redis"
    )
    if load.shards <= load.has_shards:
        return line
    if nodes == 1:
        return f"{line}; a cluster would spread it, in {load.shards} shards"
    return f"{line}; `presence shards {load.site} {load.shards}` would spread it"


def _checks(checkup: Checkup, space: Space) -> list[Text]:
    """A line for each check, with its mark."""
    rows, marks = [], []
    for invariant, (name, what, of) in enumerate(_CHECKS):
        mark = _mark(checkup, invariant)
        count = checkup.looked_at[invariant]
        looked_at = f"{count:,} {of}" if count else "nothing"
        rows.append((getattr(space.glyphs, mark), name, what, looked_at))
        marks.append(mark)
    header, *lines = Columns(_COLUMNS, space, rows).lines()
    for mark, line in zip(marks, lines, strict=True):
        line.stylize(_STYLES[mark], 0, len(getattr(space.glyphs, mark)))
    return [header, *lines]


def _mark(checkup: Checkup, invariant: int) -> str:
    """The name of the glyph."""
    if any(finding.invariant == invariant for finding in checkup.findings):
        return "failed"
    was_looked_at = checkup.looked_at[invariant] and not checkup.unread[invariant]
    return "passed" if was_looked_at else "skipped"
