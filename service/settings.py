"""Settings come from the environment, `PRESENCE_…`, once, at the start.

`SETTINGS` is the whole list: name, default, unit and help; the table in docs/settings.md,
`presence config` and the errors are made from it. An unknown `PRESENCE_…` variable or a bad
value is a SettingsError of one line.
"""

import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from service.errors import SettingsError
from service.numbers import decimal_number, whole_number
from service.redis_url import RedisUrl, folder_of, mask_url
from service.sites import Sites, check_token, load_sites
from service.texts import clean, decoded

PREFIX = "PRESENCE_"
_KEPT = "file"  # the source of an operator's token that the first start has made
_HOST_NAME = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?\Z")
GEO_SOURCES = ("none", "cloudflare", "vercel", "cloudfront", "netlify")
READ_FROM = ("primary", "replicas")
_ALONE = ("embedded", "memory")  # schemes of what has no replicas
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _text(raw: str) -> str:
    return raw


def _bool(raw: str) -> bool:
    match raw.strip().lower():
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off":
            return False
    raise ValueError("is neither true nor false")


def _integer(low: int, high: int) -> Callable[[str], int]:
    return lambda raw: whole_number(raw, low, high)


def _seconds(low: float, high: int) -> Callable[[str], float]:
    def parse(raw: str) -> float:
        value = decimal_number(raw)
        if value is None or not low <= value <= high:
            raise ValueError(
                f"is not a number of seconds from {low} to {high}, in plain digits, such as 30 or "
                "0.5"
            )
        return value

    return parse


def _address(raw: str) -> str:
    if "/" in raw:
        raise ValueError("is more than an address: write it alone, such as 127.0.0.1")
    if raw == "*":
        raise ValueError("is not an address: every one is 0.0.0.0, or :: with IPv6")
    if raw.startswith("["):
        raise ValueError("stands in brackets: leave them out, as in ::1")
    if raw.count(":") == 1:
        raise ValueError("has a port: that is PRESENCE_PORT")
    try:
        if ":" in raw:
            ipaddress.IPv6Address(raw)
        elif not _HOST_NAME.match(raw):
            raise ValueError
    except ValueError:
        raise ValueError(
            "is not an address or a name: 127.0.0.1 is this machine alone, 0.0.0.0 is every address"
        ) from None
    return raw


def _choice(*names: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw.strip().lower() not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return raw.strip().lower()

    return parse


def _url(raw: str) -> str:
    RedisUrl.parse(raw)
    return raw


def _key_prefix(raw: str) -> str:
    if not raw or not raw.replace("-", "").replace("_", "").isalnum() or not raw.isascii():
        raise ValueError("is not made of letters, digits, - and _")
    return raw


# What the service answers below its root: a public path that begins so could not be told from it.
_TAKEN = ("v1", "docs", "sites", "static", "demo", "livez", "readyz", "metrics", "openapi.json")


def _public_path(raw: str) -> str:
    if not raw:
        return ""
    if not re.fullmatch(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+){1,8}", raw):
        raise ValueError(
            "is not a path: it begins with / and does not end with it, and between are A-Z a-z 0-9 "
            "- . _ ~, such as /_p"
        )
    if (first := raw.split("/")[1]) in _TAKEN or first.startswith("presence"):
        raise ValueError(f"begins with /{first}, which the service has itself, or blockers know")
    return raw


def _script_name(raw: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}\.js", raw):
        raise ValueError("is not the name of a script, of a-z 0-9 - _, such as here.js")
    if raw.startswith("presence") and raw != "presence.js":
        raise ValueError("begins as those that blockers know: choose another, such as here.js")
    return raw


def _networks(raw: str) -> tuple[Network, ...]:
    try:
        return tuple(
            _unmapped(ipaddress.ip_network(part, strict=False))
            for part in re.split(r"[,\s]+", raw)
            if part
        )
    except ValueError as error:
        raise ValueError(f"is not a list of CIDRs such as 10.0.0.0/8,::1: {error}") from None


def _unmapped(network: Network) -> Network:
    """As its addresses are compared: ::ffff:10.0.0.0/104 is 10.0.0.0/8."""
    if isinstance(network, ipaddress.IPv4Network) or network.prefixlen < 96:
        return network
    mapped = network.network_address.ipv4_mapped
    if mapped is None:
        return network
    return ipaddress.IPv4Network((mapped, network.prefixlen - 96))


# Headers to which each proxy adds an address, or more.
_LISTS = frozenset(
    [
        "via",
        "forwarded",
        "forwarded-for",
        "x-forwarded",
        "x-forwarded-for",
        "x-original-forwarded-for",
    ]
)


def _header(raw: str) -> bytes:
    name = raw.strip().lower()
    if name and not (name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
        raise ValueError("is not the name of a header")
    if name.removeprefix("http_").replace("_", "-") in _LISTS:
        raise ValueError(
            "holds a list, of which a client may write the beginning: leave the setting out and let "
            "the proxies set X-Forwarded-For, which is read from those in PRESENCE_TRUSTED_PROXIES"
        )
    return name.encode()


def _sites_file(raw: str) -> Sites:
    return load_sites(Path(raw)) if raw else Sites({})


def _token_file(url: str) -> Path | None:
    read = RedisUrl.parse(url)
    return folder_of(read.path) / "admin-token" if read.scheme == "embedded" else None


def _kept_token(url: str) -> str:
    path = _token_file(url)
    try:
        return check_token(clean(decoded(path.read_bytes()))) if path else ""
    except OSError:  # none yet, or it is not for us
        return ""
    except ValueError as error:
        raise SettingsError(f"{path} {error}") from None


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its name without the prefix, its default as it would be typed, its unit, what
    it means, how it is read, and whether its value must never be shown."""

    name: str
    default: str
    unit: str
    help: str
    parse: Callable[[str], Any] = field(default=_text, repr=False)
    secret: bool = False


_DAY = 86_400
SETTINGS: tuple[Setting, ...] = (
    Setting("REDIS_URL", "embedded://", "URL", "Where everything is kept: embedded://[dir], memory://, redis://, rediss://, unix://, redis+sentinel://h:p,h:p/name, redis+cluster://h:p,h:p", _url, secret=True),
    Setting("READ_FROM", "primary", ", ".join(READ_FROM), "Who answers what only reads; replicas only as long as they are recent", _choice(*READ_FROM)),
    Setting("REPLICA_MAX_AGE", "2", "s", "With READ_FROM=replicas, an answer that may be older than this is asked of the primary", _seconds(0.5, 3600)),
    Setting("HOST", "127.0.0.1", "address", "Address to listen on", _address),
    Setting("PORT", "8080", "port", "Port to listen on", _integer(0, 65_535)),
    Setting("HEARTBEAT_DEDUP", "10", "s", "A repeat on the same path within this time writes nothing", _seconds(0, _DAY)),
    Setting("SESSION_TIMEOUT", "120", "s", "A session is active for this long after its last heartbeat", _seconds(0.1, _DAY)),
    Setting("HEARTBEAT_INTERVAL", "30", "s", "How often clients are told to beat", _seconds(0.01, _DAY)),
    Setting("VIEW_DEDUP", "1800", "s", "A page view counts once per session and path within this time", _seconds(0.001, 30 * _DAY)),
    Setting("LEAVE_GRACE", "3", "s", "A session that said goodbye is gone after this time, unless it beats again", _seconds(0, 3600)),
    Setting("VIEWS_FROM_HEARTBEATS", "true", "true, false", "Whether a heartbeat that creates or moves a session also records a page view", _bool),
    Setting("VIEWS_MAXLEN", "100000", "entries", "Length the views stream of each shard is trimmed to, about", _integer(1, 2**40)),
    Setting("EVENTS_MAXLEN", "10000", "entries", "Length the events stream of each shard is trimmed to, about", _integer(1, 2**40)),
    Setting("VIEWS_DAYS", "0", "days", "After so many days a page view is forgotten, its count is not; 0: never for its age", _integer(0, 400)),
    Setting("EVENTS_DAYS", "0", "days", "After so many days an event is forgotten; 0: never for its age", _integer(0, 400)),
    Setting("SHARDS", "1", "shards", "Shards that one site is split into", _integer(1, 1024)),
    Setting("MAX_PATHS", "10000", "paths", "Paths counted by name; a new one takes the row of the one least viewed", _integer(1, 10_000_000)),
    Setting("USERS_KEPT", "100000", "users", "Users of a site who are not here any more and are remembered, for 30 days at most", _integer(1, 10_000_000)),
    Setting("KEY_PREFIX", "presence", "text", "What every Redis key begins with", _key_prefix),
    Setting("SITES_FILE", "", "path", "TOML file of the sites: origins, public, token, user_secrets, webhooks, shards; without it any site is counted", _sites_file),
    Setting("ADMIN_TOKEN", "", "text", "Bearer token of the operator endpoints; under embedded:// the one in its file admin-token unless given", check_token, secret=True),
    Setting("METRICS_TOKEN", "", "text", "Bearer token of /metrics; without it /metrics is open", check_token, secret=True),
    Setting("PUBLIC_PATH", "", "path", "Where a site of yours passes on to the service, such as /_p: all that is public is there as well, and addresses in pages begin so", _public_path),
    Setting("SCRIPT_NAME", "presence.js", "name", "What the script of the pages is called as well; of one called here.js the parts are here-live.js and so on", _script_name),
    Setting("TRUSTED_PROXIES", "", "CIDRs", "Proxies whose X-Forwarded-For is believed", _networks),
    Setting("CLIENT_IP_HEADER", "", "header", "Header in which a trusted proxy names the client, such as CF-Connecting-IP; X-Forwarded-For is not read then", _header),
    Setting("GEO_HEADERS", "none", ", ".join(GEO_SOURCES), "Whose headers say where a client is", _choice(*GEO_SOURCES)),
    Setting("NEW_SESSIONS_PER_MINUTE", "60", "sessions", "New sessions one client address may open in a minute on one site; 0: any number", _integer(0, 10_000_000)),
    Setting("REQUESTS_PER_SECOND", "20", "requests", "Requests one client address may make per second, with bursts of twice as many; 0: any number", _integer(0, 10_000_000)),
    Setting("LIVE_TICK", "0.5", "s", "Shortest time between two changes pushed to a live stream", _seconds(0.05, 60)),
    Setting("RESPECT_DNT", "false", "true, false", "Whether heartbeats that carry DNT or Sec-GPC are dropped", _bool),
    Setting("SITE_IDLE", str(_DAY), "s", "After this time without a heartbeat a site's index keys expire", _seconds(1, 400 * _DAY)),
    Setting("KEEP_ALIVE", "75", "s", "How long an idle connection stays open; longer than the load balancer keeps it", _seconds(1, 3600)),
    Setting("DRAIN", "1", "s", "How long, when told to stop, it still answers what comes while load balancers turn away; less when nobody is connected", _seconds(0, 600)),
    Setting("LOG_LEVEL", "info", ", ".join(LOG_LEVELS), "Least severe level that is logged", _choice(*LOG_LEVELS)),
)  # fmt: skip  # a table reads better with one setting a line
_BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True, slots=True)
class Settings:
    """The values, in the units of `SETTINGS`. `sources` says of each whether it is the default,
    from the environment or from the command line; of the operator's token also `file`."""

    redis_url: str
    read_from: str
    replica_max_age: float
    host: str
    port: int
    heartbeat_dedup: float
    session_timeout: float
    heartbeat_interval: float
    view_dedup: float
    leave_grace: float
    views_from_heartbeats: bool
    views_maxlen: int
    events_maxlen: int
    views_days: int
    events_days: int
    shards: int
    max_paths: int
    users_kept: int
    key_prefix: str
    sites_file: Sites
    admin_token: str
    metrics_token: str
    public_path: str
    script_name: str
    trusted_proxies: tuple[Network, ...]
    client_ip_header: bytes
    geo_headers: str
    new_sessions_per_minute: int
    requests_per_second: int
    live_tick: float
    respect_dnt: bool
    site_idle: float
    keep_alive: float
    drain: float
    log_level: str
    sources: Mapping[str, str] = field(repr=False)
    raw: Mapping[str, str] = field(repr=False)

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str] | None = None, **overrides: str | None
    ) -> "Settings":
        """Reads the environment; `overrides` (from the command line, by lower-case name, None:
        not given) win.

        Raises:
            SettingsError: a variable is unknown, a value is bad, or two values contradict.
        """
        environ = os.environ if environ is None else environ
        given = {
            name.removeprefix(PREFIX): value
            for name, value in environ.items()
            if name.startswith(PREFIX)
        }
        for name in given:
            if name not in _BY_NAME:
                near = difflib.get_close_matches(name, _BY_NAME, n=1)
                hint = f"; did you mean {PREFIX}{near[0]}?" if near else "; see presence config"
                raise SettingsError(f"{PREFIX}{name} is not a setting{hint}")
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        raws: dict[str, str] = {}
        for setting in SETTINGS:
            override = overrides.get(setting.name.lower())
            if override is not None:
                raw, sources[setting.name] = override, "command line"
            elif setting.name in given:
                raw, sources[setting.name] = given[setting.name], "environment"
            else:
                raw, sources[setting.name] = setting.default, "default"
            given_raw, raw = raw, clean(raw)
            raws[setting.name] = raw
            is_typed = sources[setting.name] == "command line"
            called = f"--{setting.name.lower()}" if is_typed else PREFIX + setting.name
            try:
                if setting.secret and given_raw and not raw:
                    raise ValueError("is blank: give a value, or leave the variable out")
                if setting.default and not raw:
                    what = "option" if is_typed else "variable"
                    raise ValueError(
                        f"is empty: give a value, such as {setting.default}, or leave the {what} "
                        "out"
                    )
                values[setting.name.lower()] = setting.parse(raw)
            except ValueError as error:
                shown = "its value" if setting.secret else repr(raw)
                raise SettingsError(f"{called}: {shown} {error}") from None
        url = values["redis_url"]
        if not values["admin_token"] and (kept := _kept_token(url)):
            values["admin_token"] = raws["ADMIN_TOKEN"] = kept
            sources["ADMIN_TOKEN"] = _KEPT
        settings = cls(**values, sources=sources, raw=raws)
        settings._check()
        return settings

    def _check(self) -> None:
        if self.read_from == "replicas" and self.redis_url.partition(":")[0] in _ALONE:
            raise SettingsError(
                "PRESENCE_READ_FROM is replicas, but there are none of embedded:// and memory://"
            )
        if self.client_ip_header and not self.trusted_proxies:
            raise SettingsError(
                "PRESENCE_CLIENT_IP_HEADER is believed only of proxies that "
                "PRESENCE_TRUSTED_PROXIES names, which is empty: name them as CIDRs, such as "
                "10.0.0.0/8, or everyone could choose their address"
            )
        # A client that misses one beat must still be here, and one that beats on time must be seen.
        if self.session_timeout <= 2 * self.heartbeat_interval:
            raise SettingsError(
                f"PRESENCE_SESSION_TIMEOUT ({self.session_timeout:g} s) must be more than twice "
                f"PRESENCE_HEARTBEAT_INTERVAL ({self.heartbeat_interval:g} s), or one lost "
                "heartbeat makes a visitor vanish"
            )
        if self.heartbeat_dedup >= self.heartbeat_interval:
            raise SettingsError(
                f"PRESENCE_HEARTBEAT_DEDUP ({self.heartbeat_dedup:g} s) must be less than "
                f"PRESENCE_HEARTBEAT_INTERVAL ({self.heartbeat_interval:g} s), or regular "
                "heartbeats count as repeats and visitors time out while they are here"
            )
        if self.site_idle <= self.session_timeout:
            raise SettingsError(
                f"PRESENCE_SITE_IDLE ({self.site_idle:g} s) must be more than "
                f"PRESENCE_SESSION_TIMEOUT ({self.session_timeout:g} s), or the index expires "
                "under sessions that are active"
            )

    @property
    def sites(self) -> Sites:
        """What the sites file says."""
        return self.sites_file

    @property
    def site_labels(self) -> list[str]:
        """The configured sites that metrics name. Without a token they are open to all, who are
        not to learn which private sites there are."""
        is_open = not self.metrics_token
        return [name for name, site in self.sites.by_id.items() if site.public or not is_open]

    @property
    def is_embedded(self) -> bool:
        """Whether the store is the private Valkey of this machine."""
        return self.redis_url.startswith("embedded://")

    @property
    def token_file(self) -> Path | None:
        """Where the operator's token is kept that the first start has made; only under
        embedded://."""
        return _token_file(self.redis_url)

    @property
    def is_token_kept(self) -> bool:
        """Whether the operator's token is the one in `token_file`, which nobody has chosen."""
        return self.sources["ADMIN_TOKEN"] == _KEPT

    def with_kept_token(self, token: str) -> "Settings":
        """These settings with the token that was just written to `token_file`."""
        return replace(
            self,
            admin_token=token,
            sources={**self.sources, "ADMIN_TOKEN": _KEPT},
            raw={**self.raw, "ADMIN_TOKEN": token},
        )

    def shown(self, name: str) -> str:
        """A setting's value as it may be printed: secrets masked."""
        raw = self.raw[name]
        if not _BY_NAME[name].secret or not raw:
            return raw
        return mask_url(raw) if name == "REDIS_URL" else "********"
