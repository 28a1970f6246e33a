"""The tables of the sites file: what they mean, and what is said of those that mean nothing."""

import base64
from pathlib import Path
from typing import Any

import pytest

from service.errors import SettingsError
from service.settings import Settings
from service.sites import load_sites
from service.webhook_config import EVENT_TYPES, Webhook, webhooks_of
from tests.webhooks.receiver import OLD_SECRET, SECRET

GOOD: dict[str, Any] = {
    "name": "backend",
    "url": "https://example.org/presence",
    "secrets": [SECRET],
    "events": ["site.occupied"],
}


def read(*tables: dict[str, Any], has_users: bool = True) -> tuple[Webhook, ...]:
    return webhooks_of("blog", list(tables), has_users=has_users)


def test_a_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sites.toml"
    path.write_text(
        f"""
["blog"]
user_secrets = ["0123456789abcdef0123456789abcdef"]

[["blog".webhooks]]
name = "backend"
url = "https://example.org/presence?key=1"
secrets = ["{SECRET}", "{OLD_SECRET}"]
events = ["active.above", "active.below", "page.above", "user.online"]
path = "/checkout/"
above = 100
below = 50
for = 60
cooldown = 600
settle = 2.5

[["blog".webhooks]]
name = "team"
url = "https://hooks.slack.com/services/T0/B0/secret"
events = ["site.occupied"]
format = "slack"

["other"]
"""
    )
    sites = load_sites(path)
    first, second = sites.by_id["blog"].webhooks
    assert first.keys == tuple(
        base64.b64decode(text.removeprefix("whsec_")) for text in (SECRET, OLD_SECRET)
    )
    assert (first.path, first.above, first.below) == ("/checkout", 100, 50)
    assert (first.for_s, first.cooldown_s, first.settle_s) == (60.0, 600.0, 2.5)
    assert (first.origin, first.allow_private) == ("https://example.org", False)
    assert (second.format, second.settle_s, second.keys) == ("slack", 5.0, ())
    assert sites.by_id["other"].webhooks == ()
    shown = repr(sites)
    assert "services" not in shown
    assert "key=1" not in shown
    assert repr(first.keys[0]) not in shown


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("unknown key", {"secret": SECRET}, "unknown key 'secret'; did you mean secrets?"),
    ("no name", {"name": None}, "needs a name"),
    ("bad name", {"name": "The Backend"}, "needs a name: a-z, 0-9, _ and -"),
    ("no url", {"url": None}, "needs a url, such as https://"),
    ("no scheme", {"url": "example.org/x"}, "begins with https:// and a host"),
    ("other scheme", {"url": "ftp://example.org/"}, "begins with https:// and a host"),
    ("no host", {"url": "https:///x"}, "begins with https:// and a host"),
    ("bad port", {"url": "https://example.org:99999/"}, "a url that is none"),
    ("brackets", {"url": "https://[::1/"}, "a url that is none"),
    ("not escaped", {"url": "https://example.org/a b"}, "escape them"),
    ("line feed", {"url": "https://example.org/a\r\nX: y"}, "escape them"),
    ("umlaut", {"url": "https://exämple.org/"}, "escape them"),
    ("user", {"url": "https://me:word@example.org/"}, "a user or a password in its url"),
    ("fragment", {"url": "https://example.org/#x"}, "has a # in its url"),
    ("plain", {"url": "http://example.org/"}, "http:// is for private networks"),
    ("loopback", {"url": "https://127.0.0.1/"}, "say allow_private = true if"),
    ("metadata", {"url": "https://169.254.169.254/"}, "say allow_private = true if"),
    ("private", {"url": "https://[fd00::1]:8443/"}, "say allow_private = true if"),
    ("mapped", {"url": "https://[::ffff:10.0.0.1]/"}, "say allow_private = true if"),
    ("no secret", {"secrets": []}, "needs secrets, a list"),
    ("one text", {"secrets": SECRET}, "needs secrets, a list"),
    ("no prefix", {"secrets": [SECRET[6:]]}, "does not begin with whsec_"),
    ("not base64", {"secrets": ["whsec_!!!!"]}, "not base64 after whsec_"),
    ("short", {"secrets": ["whsec_c2hvcnQ="]}, "not 24 to 64 bytes long"),
    ("no events", {"events": []}, "needs events, a list of site.occupied"),
    ("unknown event", {"events": ["site.ocupied"]}, "did you mean site.occupied?"),
    ("not a text", {"events": [1]}, "unknown event 1"),
    ("no above", {"events": ["active.above"]}, "needs above"),
    ("no page's above", {"events": ["page.above"], "path": "/x"}, "needs above"),
    ("no below", {"events": ["active.below"]}, "needs below"),
    ("no path", {"events": ["page.above"], "above": 1}, "needs path, such as /checkout"),
    ("above unused", {"above": 5}, "has above, which none of its events looks at"),
    ("below unused", {"below": 5}, "has below, which none of its events looks at"),
    ("path unused", {"path": "/x"}, "has path, which none of its events looks at"),
    ("crossed", {"events": ["active.above"], "above": 5, "below": 7}, "below over above"),
    ("above a text", {"events": ["active.above"], "above": "5"}, "above as a whole number"),
    ("above true", {"events": ["active.above"], "above": True}, "above as a whole number"),
    ("below zero", {"events": ["active.below"], "below": 0}, "whole number from 1 on"),
    ("bad path", {"events": ["page.above"], "above": 1, "path": "x"}, "a path that begins with /"),
    ("query", {"events": ["page.above"], "above": 1, "path": "/x?y"}, "without a query"),
    ("for", {"for": -1}, "for as seconds from 0 to 86400"),
    ("cooldown", {"cooldown": "1m"}, "cooldown as seconds from 0 to 2592000"),
    ("settle", {"settle": float("nan")}, "settle as seconds from 0 to 3600"),
    ("format", {"format": "teams"}, "format as one of standard, slack"),
    ("allow_private", {"allow_private": "yes"}, "allow_private as true or false"),
]


@pytest.mark.parametrize("changed, said", [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_what_is_wrong_is_said(changed: dict[str, Any], said: str) -> None:
    table = {key: value for key, value in (GOOD | changed).items() if value is not None}
    with pytest.raises(ValueError, match="webhook of 'blog'") as caught:
        read(table)
    assert said in str(caught.value)
    assert SECRET[6:] not in str(caught.value)


def test_each_has_its_own_name() -> None:
    with pytest.raises(ValueError, match="'backend': it has the name of another one"):
        read(GOOD, GOOD)


@pytest.mark.parametrize("kind", ["user.online", "user.offline"])
def test_users_need_a_site_that_has_some(kind: str) -> None:
    with pytest.raises(ValueError, match="the site has no user_secrets"):
        read(GOOD | {"events": [kind]}, has_users=False)


@pytest.mark.parametrize("tables", ["x", {"name": "x"}, ["x"]], ids=["text", "table", "texts"])
def test_other_than_tables(tables: Any) -> None:
    with pytest.raises(ValueError, match=r'as tables: \[\["blog".webhooks\]\]'):
        webhooks_of("blog", tables, has_users=True)


def test_all_events_can_be_had_at_once() -> None:
    (webhook,) = read(GOOD | {"events": [*EVENT_TYPES], "path": "/x", "above": 5, "below": 5})
    assert webhook.events == set(EVENT_TYPES)


def test_private_networks_are_for_who_says_so() -> None:
    (webhook,) = read(GOOD | {"url": "http://10.0.0.1:8080/x", "allow_private": True})
    assert webhook.origin == "http://10.0.0.1:8080"


def test_the_start_stops_with_one_line(tmp_path: Path) -> None:
    path = tmp_path / "sites.toml"
    path.write_text('[["blog".webhooks]]\nname = "backend"\nurl = "https://example.org/"\n')
    with pytest.raises(SettingsError, match=r"bad webhook of 'blog', 'backend': it needs"):
        Settings.from_env({"PRESENCE_SITES_FILE": str(path)})
