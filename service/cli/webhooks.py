"""`presence webhooks`."""

import click
import msgspec

from service.cli.cells import Cell, ago
from service.cli.columns import Column
from service.cli.group import Failure
from service.cli.printing import print_list, stderr
from service.cli.reading import open_store, reachable, run, site_argument
from service.models import WebhookFailure, WebhookList, WebhookStatus, WebhookTest
from service.settings import Settings
from service.webhook_config import Webhook
from service.webhooks.status import read_statuses
from service.webhooks.trial import send_test

_COLUMNS = (
    Column("webhook"),
    Column("to", least=16, rank=4),
    Column("state"),
    Column("lag s", is_number=True, rank=1),
    Column("delivered", is_number=True, rank=5),
    Column("dropped", is_number=True, rank=3),
    Column("last success", is_number=True, rank=6),
    Column("last error", least=24, rank=2),
)


@click.command(short_help="Show how sending to a site's webhooks goes, or send a test.")
@site_argument
@click.option("--test", metavar="NAME", help="Send a test to the webhook of that name.")
@click.option("--json", "is_json", is_flag=True, help="Write one line of JSON.")
def webhooks(site: str, test: str | None, is_json: bool) -> None:
    """List the webhooks that the sites file has for SITE, and how sending to each goes.

    On a terminal, as many columns as it has room for. Piped, it writes one webhook per line,
    tab-separated, with exact times: name, address, state, lag in seconds, delivered, dropped,
    last success, last error. The state is sending, failing, paused (after a 410), or unserved: no
    copy of the service has it, such as before it was started with it.

    With --test, send one event to the one called NAME, from this machine, and say what it was
    answered. If it is taken, a pause after a 410 ends.
    """
    settings = Settings.from_env()
    known = settings.sites.find(site)
    found = {webhook.name: webhook for webhook in (known.webhooks if known else ())}
    if test is not None and test not in found:
        names = ", ".join(found) or "none"
        raise Failure(f"{site} has no webhook {test}; those of the sites file: {names}")
    with reachable(settings):
        if test is not None:
            _tell(run(_test(settings, site, found[test])), test, is_json)
        else:
            _list(run(_read(settings, site, found)), site, is_json)


def _tell(result: WebhookTest, name: str, is_json: bool) -> None:
    if is_json:
        click.echo(msgspec.json.encode(result))
    if not result.taken:
        raise Failure(f"{name} has not taken the test: {result.reason}")
    if not is_json:
        click.echo(f"{name} has taken the test: {result.status}, after {result.took} ms")


def _list(found: WebhookList, site: str, is_json: bool) -> None:
    if is_json:
        click.echo(msgspec.json.encode(found))
        return
    if found.webhooks:
        print_list(_COLUMNS, [_row(webhook, found.asOf) for webhook in found.webhooks])
    else:
        stderr().print(f"{site} has no webhooks in PRESENCE_SITES_FILE", style="dim")


def _row(webhook: WebhookStatus, now_ms: int) -> tuple[object, ...]:
    success, error = webhook.lastSuccess, webhook.lastError
    return (
        webhook.name,
        webhook.origin,
        _state(webhook),
        None if webhook.lag is None else f"{webhook.lag / 1000:.1f}",
        webhook.delivered,
        webhook.dropped,
        None if success is None else ago(success, now_ms),
        None if error is None else _failure(error, now_ms),
    )


def _state(webhook: WebhookStatus) -> str:
    if webhook.paused:
        return "paused"
    if not webhook.served:
        return "unserved"
    error = webhook.lastError
    return "failing" if error and error.at > (webhook.lastSuccess or 0) else "sending"


def _failure(error: WebhookFailure, now_ms: int) -> Cell:
    at = ago(error.at, now_ms)
    return Cell(f"{at} {error.reason}", f"{at.short}: {error.reason}")


async def _read(settings: Settings, site: str, found: dict[str, Webhook]) -> WebhookList:
    async with open_store(settings) as store:
        return await read_statuses(store, site, found.values())


async def _test(settings: Settings, site: str, webhook: Webhook) -> WebhookTest:
    async with open_store(settings) as store:
        return await send_test(store, site, webhook)
