"""Every setting: what it takes, what it refuses, and how; settings that contradict each other; and
settings and the sites file as files and editors leave them."""

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest

from service.api.security import Security
from service.errors import SettingsError
from service.settings import SETTINGS, Settings
from service.sites import Site, load_sites

Good = list[tuple[str, Any]]
Bad = list[tuple[str, str]]
A_BOOL: tuple[Good, Bad] = (
    [("true", True), ("1", True), ("YES", True), ("on", True), ("false", False), ("0", False),
     ("No", False), ("off", False)],
    [("", "is empty"), ("2", "neither true nor false"), ("y", "neither true nor false"),
     ("\u0661", "neither true nor false")],
)  # fmt: skip


def whole(low: int, high: int) -> tuple[Good, Bad]:
    """What a whole number takes and refuses."""
    says = f"is not a whole number from {low} to {high}, in plain digits"
    return (
        [(str(low), low), (str(high), high), (f"0{low}", low)],
        [("", "is empty: give a value, such as ")]
        + [
            (text, says)
            for text in (
                str(high + 1), *([str(low - 1)] if low else []), "-1", "+80", "8_0", "0x50", "8e1",
                "80.0", "8 0", "\u0663", "\u00b2", "８０", "eighty", "80s", "nan", "9" * 5_000,
            )
        ],
    )  # fmt: skip


def seconds(low: float, high: int) -> tuple[Good, Bad]:
    """What a number of seconds takes and refuses."""
    says = f"is not a number of seconds from {low} to {high}, in plain digits, such as 30 or 0.5"
    return (
        [(str(low), float(low)), (f"{low:.3f}", float(low))],
        [("", "is empty: give a value, such as ")]
        + [
            (text, says)
            for text in (
                str(high + 1), f"{high}.1", *(["0"] if low else []), "-1", "+30", "1_0", "1e1",
                "30s", "1,5", ".5", "5.", "nan", "inf", "\u0663\u0660", "1.\u0665", "0x1p3",
                "9" * 5_000,
            )
        ],
    )  # fmt: skip


DAY = 86_400
TOKEN: tuple[Good, Bad] = (
    [("", ""), ("a long text", "a long text"), ("a'b", "a'b"), ("\ufeffa\ufeff", "a")],
    [(" ", "is blank"), ("\ufeff", "is blank"), ('"a"', "in quotes"), ("a\nb", "cannot carry"),
     ("é", "cannot carry"), ("a\ufeffb", "a byte order mark in the middle")],
)  # fmt: skip
AN_ADDRESS = (
    "is not an address or a name: 127.0.0.1 is this machine alone, 0.0.0.0 is every address"
)
TABLE: dict[str, tuple[Good, Bad]] = {
    # tests/redis/test_redis_url.py has the rest.
    "REDIS_URL": (
        [("memory://", "memory://"), ("redis://h/1\n", "redis://h/1")],
        [("", "is empty: give a value, such as embedded://"), (" ", "is blank"),
         ("redis://a,b", "several hosts"), ("h:6379", "unknown scheme")],
    ),
    "READ_FROM": (
        [("primary", "primary"), ("Replicas", "replicas")],
        [("", "is empty"), ("replica", "must be one of primary, replicas")],
    ),
    "REPLICA_MAX_AGE": seconds(0.5, 3600),
    "HOST": (
        [(text, text) for text in ("127.0.0.1", "0.0.0.0", "::", "::1", "localhost", "fe80::1%lo",
                                   "web_1.internal.", "host-1")],
        [("", "is empty: give a value, such as 127.0.0.1, or leave the variable out"),
         (" ", "is empty: give a value"), ("[::1]", "leave them out"), ("*", "0.0.0.0, or ::"),
         ("127.0.0.1:8080", "that is PRESENCE_PORT"), (":8080", "that is PRESENCE_PORT"),
         ("http://127.0.0.1", "write it alone"), ("0.0.0.0/0", "write it alone"),
         ("a b", AN_ADDRESS), ("a,b", AN_ADDRESS), ("bücher", AN_ADDRESS), ("1:2:3", AN_ADDRESS),
         ("a" * 64, AN_ADDRESS), ("a..b", AN_ADDRESS)],
    ),
    "PORT": whole(0, 65_535),
    "HEARTBEAT_DEDUP": seconds(0, DAY),
    "SESSION_TIMEOUT": seconds(0.1, DAY),
    "HEARTBEAT_INTERVAL": seconds(0.01, DAY),
    "VIEW_DEDUP": seconds(0.001, 30 * DAY),
    "LEAVE_GRACE": seconds(0, 3600),
    "VIEWS_FROM_HEARTBEATS": A_BOOL,
    "VIEWS_MAXLEN": whole(1, 2**40),
    "EVENTS_MAXLEN": whole(1, 2**40),
    "VIEWS_DAYS": whole(0, 400),
    "EVENTS_DAYS": whole(0, 400),
    "SHARDS": whole(1, 1024),
    "MAX_PATHS": whole(1, 10_000_000),
    "USERS_KEPT": whole(1, 10_000_000),
    "KEY_PREFIX": (
        [("a", "a"), ("A-b_9", "A-b_9")],
        [("", "is empty"), ("a:b", "letters, digits, - and _"), ("{a}", "letters"),
         ("é", "letters"), ("\u0663", "letters"), ("a b", "letters"), ("-", "letters")],
    ),
    "SITES_FILE": ([], [("/none.toml", "cannot be read: No such file"), ("/", "cannot be read")]),
    "ADMIN_TOKEN": TOKEN,
    "METRICS_TOKEN": TOKEN,
    "PUBLIC_PATH": (
        [("", ""), ("/_p", "/_p"), ("/a/b-c.d~e", "/a/b-c.d~e")],
        [("_p", "is not a path"), ("/", "is not a path"), ("/_p/", "is not a path"),
         ("//host", "is not a path"), ("/..", "is not a path"), ("/a/./b", "is not a path"),
         ("/{a}", "is not a path"), ("/é", "is not a path"), ("/a?b", "is not a path"),
         ("/v1", "begins with /v1"), ("/sites/x", "begins with /sites"),
         ("/presence", "blockers know")],
    ),
    "SCRIPT_NAME": (
        [("presence.js", "presence.js"), ("here.js", "here.js"), ("a-1_b.js", "a-1_b.js")],
        [("", "is empty"), ("here", "the name of a script"), ("a/b.js", "the name of a script"),
         ("A.js", "the name of a script"), ("{a}.js", "the name of a script"),
         ("presence-live.js", "blockers know")],
    ),
    "TRUSTED_PROXIES": (
        [("", ()), ("10.0.0.0/8", (ipaddress.ip_network("10.0.0.0/8"),)),
         ("::1, 10.1.2.3/8", (ipaddress.ip_network("::1"), ipaddress.ip_network("10.0.0.0/8")))],
        [("10.0.0.0/33", "a list of CIDRs"), ("proxy", "a list of CIDRs"),
         ("\u0661.0.0.1", "a list of CIDRs"), ("10.0.0.0/+8", "a list of CIDRs")],
    ),
    "CLIENT_IP_HEADER": (
        [("CF-Connecting-IP", b"cf-connecting-ip")],
        [("X Y", "the name of a header"), ("X:", "the name of a header"),
         ("é", "the name of a header"), ("X-Forwarded-For", "")],
    ),
    "GEO_HEADERS": (
        [("none", "none"), ("Cloudflare", "cloudflare"), ("netlify", "netlify")],
        [("", "is empty"), ("cloudflair", "must be one of none, cloudflare")],
    ),
    "NEW_SESSIONS_PER_MINUTE": whole(0, 10_000_000),
    "REQUESTS_PER_SECOND": whole(0, 10_000_000),
    "LIVE_TICK": seconds(0.05, 60),
    "RESPECT_DNT": A_BOOL,
    "SITE_IDLE": seconds(1, 400 * DAY),
    "KEEP_ALIVE": seconds(1, 3600),
    "DRAIN": seconds(0, 600),
    "LOG_LEVEL": (
        [("debug", "debug"), ("WARNING", "warning")],
        [("", "is empty"), ("warn", "must be one of debug, info, warning")],
    ),
}  # fmt: skip
# What must be given with a setting, so that it contradicts no other.
WITH: dict[str, dict[str, str]] = {
    "READ_FROM": {"REDIS_URL": "redis://h"},
    "CLIENT_IP_HEADER": {"TRUSTED_PROXIES": "10.0.0.0/8"},
    "SESSION_TIMEOUT": {"HEARTBEAT_INTERVAL": "0.02", "HEARTBEAT_DEDUP": "0.01"},
    "HEARTBEAT_INTERVAL": {"HEARTBEAT_DEDUP": "0"},
    "SITE_IDLE": {
        "SESSION_TIMEOUT": "0.9", "HEARTBEAT_INTERVAL": "0.02", "HEARTBEAT_DEDUP": "0.01"
    },
}  # fmt: skip


def settings_of(**given: str) -> Settings:
    environ = {"REDIS_URL": "memory://"} | given
    return Settings.from_env({f"PRESENCE_{name}": value for name, value in environ.items()})


def test_every_setting_is_in_the_table() -> None:
    assert list(TABLE) == [setting.name for setting in SETTINGS]


@pytest.mark.parametrize(
    "name, text, value",
    [(name, text, value) for name, (good, _) in TABLE.items() for text, value in good],
)
def test_what_a_setting_takes(name: str, text: str, value: Any) -> None:
    settings = settings_of(**(WITH.get(name, {}) | {name: text}))
    assert getattr(settings, name.lower()) == value
    assert settings.sources[name] == "environment"


@pytest.mark.parametrize(
    "name, text, says",
    [
        pytest.param(name, text, says, id=f"{name}-{text[:20]}")
        for name, (_, bad) in TABLE.items()
        for text, says in bad
    ],
)
def test_what_a_setting_refuses(name: str, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        settings_of(**(WITH.get(name, {}) | {name: text}))
    told = str(refusal.value)
    assert told.startswith(f"PRESENCE_{name}: ")
    assert says in told
    assert "\n" not in told
    is_secret = next(setting.secret for setting in SETTINGS if setting.name == name)
    assert ("its value" in told) == is_secret


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_default_is_a_value_like_any_other(setting: Any) -> None:
    assert settings_of(**{setting.name: setting.default}).raw[setting.name] == setting.default


@pytest.mark.parametrize(
    "given, says",
    [
        (
            {"HEARTBEAT_INTERVAL": "60"},
            "SESSION_TIMEOUT (120 s) must be more than twice",
        ),
        ({"SESSION_TIMEOUT": "60"}, "SESSION_TIMEOUT (60 s) must be more than twice"),
        ({"SESSION_TIMEOUT": "59.9", "HEARTBEAT_INTERVAL": "30"}, "SESSION_TIMEOUT (59.9 s)"),
        (
            {"HEARTBEAT_DEDUP": "30"},
            "HEARTBEAT_DEDUP (30 s) must be less than",
        ),
        ({"HEARTBEAT_INTERVAL": "10"}, "HEARTBEAT_DEDUP (10 s) must be less than"),
        ({"SITE_IDLE": "120"}, "SITE_IDLE (120 s) must be more than PRESENCE_SESSION_TIMEOUT"),
        ({"SESSION_TIMEOUT": "86400"}, "SITE_IDLE (86400 s) must be more than"),
        ({"CLIENT_IP_HEADER": "Fly-Client-IP"}, "PRESENCE_TRUSTED_PROXIES names, which is empty"),
        ({"READ_FROM": "replicas"}, "there are none of embedded:// and memory://"),
        ({"READ_FROM": "replicas", "REDIS_URL": "memory://"}, "there are none of embedded://"),
    ],
)
def test_settings_that_contradict_each_other(given: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        settings_of(**given)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "given",
    [
        {"HEARTBEAT_INTERVAL": "59.9"},
        {"SESSION_TIMEOUT": "60.1"},
        {"HEARTBEAT_DEDUP": "29.9"},
        {"SITE_IDLE": "120.1"},
        {"CLIENT_IP_HEADER": "Fly-Client-IP", "TRUSTED_PROXIES": "10.0.0.0/8"},
    ],
)
def test_settings_that_only_just_do_not(given: dict[str, str]) -> None:
    settings_of(**given)


@pytest.mark.parametrize(
    "name, says",
    [
        ("PROT", "PRESENCE_PROT is not a setting; did you mean PRESENCE_PORT?"),
        ("XYZZY", "PRESENCE_XYZZY is not a setting; see presence config"),
        ("port", "PRESENCE_port is not a setting"),
        ("", "PRESENCE_ is not a setting"),
    ],
)
def test_an_unknown_setting(name: str, says: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        settings_of(**{name: "1"})
    assert says in str(refusal.value)


def test_what_is_typed_wins_and_is_called_by_its_option() -> None:
    environ = {"PRESENCE_PORT": "81", "PRESENCE_HOST": "0.0.0.0"}
    settings = Settings.from_env(environ, port="82", host=None)
    assert (settings.port, settings.sources["PORT"]) == (82, "command line")
    assert (settings.host, settings.sources["HOST"]) == ("0.0.0.0", "environment")
    with pytest.raises(SettingsError, match=r"--host: '' is empty: .* or leave the option out"):
        Settings.from_env(environ, host="")


SITES = '["blog"]\norigins = ["https://blog.example.org"]\n'


@pytest.mark.fault("B33")
@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {} \n\n", "\ufeff{}\n", "\t{}"])
def test_what_a_file_adds_to_a_value_is_no_part_of_it(around: str, tmp_path: Path) -> None:
    (tmp_path / "sites.toml").write_text(SITES)
    values = {
        "ADMIN_TOKEN": "operator",
        "METRICS_TOKEN": "scraper",
        "REDIS_URL": "redis://:word@h/1",
        "HOST": "0.0.0.0",
        "PORT": "80",
        "KEY_PREFIX": "mine",
        "SITES_FILE": str(tmp_path / "sites.toml"),
        "TRUSTED_PROXIES": "10.0.0.0/8\n192.168.0.0/16",
        "CLIENT_IP_HEADER": "Fly-Client-IP",
        "RESPECT_DNT": "true",
    }
    settings = Settings.from_env(
        {f"PRESENCE_{name}": around.format(value) for name, value in values.items()}
    )
    assert settings.admin_token == "operator"
    assert settings.metrics_token == "scraper"
    assert settings.redis_url == "redis://:word@h/1"
    assert (settings.host, settings.port, settings.key_prefix) == ("0.0.0.0", 80, "mine")
    assert set(settings.sites.by_id) == {"blog"}
    assert len(settings.trusted_proxies) == 2
    Security(settings).check_operator({b"authorization": b"Bearer operator"})


@pytest.mark.fault("B33")
@pytest.mark.parametrize(
    "token, says",
    [
        ("\n", "is blank"),
        (" ", "is blank"),
        ('"operator"', "stands in quotes"),
        ("one\ntwo", "a header cannot carry"),
        ("wörd", "a header cannot carry"),
    ],
)
def test_a_token_that_can_never_match_stops_the_start(
    token: str, says: str, tmp_path: Path
) -> None:
    for name in ("ADMIN_TOKEN", "METRICS_TOKEN"):
        with pytest.raises(SettingsError, match=f"PRESENCE_{name}: its value .*{says}"):
            Settings.from_env({f"PRESENCE_{name}": token})
    file = tmp_path / "sites.toml"
    file.write_text(f'["blog"]\ntoken = {json.dumps(token, ensure_ascii=False)}\n')
    with pytest.raises(SettingsError, match=f"bad token for 'blog'.*{says}") as refusal:
        Settings.from_env({"PRESENCE_SITES_FILE": str(file)})
    assert not token.strip() or token not in str(refusal.value)


@pytest.mark.fault("B33")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_sites_file_as_an_editor_saves_it(encoding: str, line_end: str, tmp_path: Path) -> None:
    file = tmp_path / "sites.toml"
    mark = "\ufeff" if encoding.startswith("utf-16-") else ""
    file.write_bytes((mark + (SITES + 'token = "t\\n"\n').replace("\n", line_end)).encode(encoding))
    expected = Site(frozenset({"https://blog.example.org"}), token="t")
    assert load_sites(file).find("blog") == expected


@pytest.mark.parametrize(
    "given, expected",
    [
        ("", {}),
        ("shards = 1", {"blog": 1}),
        ("shards = 1024", {"blog": 1024}),
        *[(f"shards = {bad}", None) for bad in ("0", "1025", "-1", "true", '"4"', "4.0", "[4]")],
    ],
)
def test_the_shards_of_a_site(given: str, expected: dict[str, int] | None, tmp_path: Path) -> None:
    file = tmp_path / "sites.toml"
    file.write_text(f'["other"]\n["blog"]\n{given}\n')
    if expected is None:
        with pytest.raises(ValueError, match="the shards of 'blog' as a number from 1 to 1024"):
            load_sites(file)
    else:
        assert load_sites(file).shards == expected


@pytest.mark.fault("B33")
def test_a_sites_file_in_another_encoding_says_so(tmp_path: Path) -> None:
    file = tmp_path / "sites.toml"
    file.write_bytes('# für alle\n["blog"]\n'.encode("latin-1"))
    with pytest.raises(SettingsError, match="is not UTF-8: save it as UTF-8"):
        Settings.from_env({"PRESENCE_SITES_FILE": str(file)})


@pytest.mark.fault("B33")
@pytest.mark.parametrize(
    "secret, kept",
    [
        ("a secret\n", "a secret"),
        ("\ufeffa secret\r\n", "a secret"),
        ("\n\ufeff a secret \ufeff\n", " a secret "),
        ("gehéim", "gehéim"),
    ],
)
def test_what_a_file_adds_to_a_user_secret_is_no_part_of_it(
    secret: str, kept: str, tmp_path: Path
) -> None:
    file = tmp_path / "sites.toml"
    file.write_text(f'["blog"]\nuser_secrets = [{json.dumps(secret)}]\n')
    site = load_sites(file).find("blog")
    assert site
    assert site.user_secrets == (kept,)


@pytest.mark.fault("B33")
@pytest.mark.parametrize(
    "key, text, says",
    [
        (
            "user_secrets",
            "one\ufefftwo",
            "a bad text among the user_secrets of 'blog': it ",
        ),
        ("user_secrets", "", "an empty text among the user_secrets of 'blog'"),
        ("user_secrets", " \n", "an empty text among the user_secrets of 'blog'"),
        ("user_secrets", "\ufeff", "an empty text among the user_secrets of 'blog'"),
        ("token", "one\ufefftwo", "a bad token for 'blog': it has a byte order mark in the middle"),
        ("token", "\ufeff", "is blank"),
    ],
)
def test_a_secret_that_nobody_could_have_meant(
    key: str, text: str, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "sites.toml"
    value = json.dumps([text] if key == "user_secrets" else text)
    file.write_text(f'["blog"]\n{key} = {value}\n')
    with pytest.raises(SettingsError) as refusal:
        settings_of(SITES_FILE=str(file))
    assert says in str(refusal.value)
    assert "two" not in str(refusal.value)


@pytest.mark.fault("B33")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_token_of_operators_as_an_editor_saves_it(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "admin-token").write_text("kept\n", encoding=encoding)
    assert settings_of(REDIS_URL=f"embedded://{tmp_path}").admin_token == "kept"
    (tmp_path / "admin-token").write_bytes(b"k\xe9pt")
    with pytest.raises(SettingsError, match="admin-token is not UTF-8: save it as UTF-8"):
        settings_of(REDIS_URL=f"embedded://{tmp_path}")


@pytest.mark.fault("B33")
def test_a_site_token_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "sites.toml"
    file.write_text('["blog"]\ntoken = "\\ufefft\\n"\n')
    assert load_sites(file).find("blog") == Site(token="t")
