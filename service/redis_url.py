"""Reads `PRESENCE_REDIS_URL` strictly: what is not understood stops the start.

No message quotes the URL: a password with an unescaped `/` or `?` ends up in any part of it. Only
the names of options are told, and of those none that may be the rest of a password.
"""

import difflib
import ipaddress
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

URL_SCHEMES = (
    "embedded", "memory", "redis", "rediss", "unix", "redis+sentinel", "redis+cluster"
)  # fmt: skip
_PORTS = {"redis+sentinel": 26379}  # where none is given; of all others 6379
_ESCAPES = "%25 for %, %2F for /, %3F for ?, %23 for #, %40 for @, %3A for :, %26 for &"
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?\Z")
_LAST_DATABASE = 2**31 - 1


def _text(text: str) -> str:
    if not text:
        raise ValueError("it is empty")
    return text


def _bool(text: str) -> bool:
    match text.lower():
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off":
            return False
    raise ValueError("it is true or false")


def _database(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _LAST_DATABASE):
        raise ValueError("a database is a whole number, such as 0")
    return int(text)


def _verification(text: str) -> str:
    if text.lower() not in ("none", "optional", "required"):
        raise ValueError("it is none, optional or required")
    return text.lower()


def _tls_version(text: str) -> ssl.TLSVersion:
    # redis-py's own URLs take the numbers.
    match text.lower().removeprefix("tlsv"):
        case "1.2" | "771":
            return ssl.TLSVersion.TLSv1_2
        case "1.3" | "772":
            return ssl.TLSVersion.TLSv1_3
    raise ValueError("it is TLSv1.2 or TLSv1.3")


def _verify_flags(text: str) -> list[ssl.VerifyFlags]:
    names = [name.strip() for name in text.strip("[]").split(",")]
    if any(name not in ssl.VerifyFlags.__members__ for name in names):
        raise ValueError("it is a list of Python's ssl.VerifyFlags, such as VERIFY_X509_STRICT")
    return [ssl.VerifyFlags[name] for name in names]


_TLS_OPTIONS: dict[str, Callable[[str], Any]] = {
    "ssl_ca_certs": _text,
    "ssl_ca_data": _text,
    "ssl_ca_path": _text,
    "ssl_cert_reqs": _verification,
    "ssl_certfile": _text,
    "ssl_check_hostname": _bool,
    "ssl_ciphers": _text,
    "ssl_exclude_verify_flags": _verify_flags,
    "ssl_include_verify_flags": _verify_flags,
    "ssl_keyfile": _text,
    "ssl_min_version": _tls_version,
    "ssl_password": _text,
}
_CREDENTIALS: dict[str, Callable[[str], Any]] = {"username": _text, "password": _text}
_SERVER = _CREDENTIALS | {"db": _database}
_OPTIONS: dict[str, dict[str, Callable[[str], Any]]] = {
    "redis": _SERVER | {"ssl": _bool} | _TLS_OPTIONS,
    "rediss": _SERVER | {"ssl": _bool} | _TLS_OPTIONS,
    "unix": _SERVER,
    "redis+sentinel": _SERVER
    | {"sentinel_username": _text, "sentinel_password": _text, "sentinel_ssl": _bool, "ssl": _bool}
    | _TLS_OPTIONS,
    "redis+cluster": _CREDENTIALS | {"ssl": _bool} | _TLS_OPTIONS,
}
_MEANT = {"tls": "ssl", "use_ssl": "ssl", "use_tls": "ssl", "database": "db"}


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """What the URL says.

    Attributes:
        hosts: one of `redis://` and `rediss://`, any number of Sentinels and cluster nodes.
        path: the socket of `unix://`, the folder of `embedded://`.
        primary: the name that the Sentinels know.
        tls: the `ssl_…` options, by name.
        is_tls: whether Redis speaks TLS.
        sentinel_tls: whether the Sentinels are asked over TLS, with the same options.
    """

    scheme: str
    hosts: tuple[tuple[str, int], ...] = ()
    username: str | None = None
    password: str | None = None
    path: str = ""
    primary: str = ""
    database: int = 0
    tls: Mapping[str, Any] = field(default_factory=dict)
    is_tls: bool = False
    sentinel_username: str | None = None
    sentinel_password: str | None = None
    sentinel_tls: bool = False

    @classmethod
    def parse(cls, url: str) -> "RedisUrl":
        """Raises ValueError; the message continues "PRESENCE_REDIS_URL: its value …"."""
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in URL_SCHEMES:
            begins = ", ".join(f"{known}://" for known in URL_SCHEMES)
            raise ValueError(f"has an unknown scheme: it does not begin with one of {begins}")
        if scheme == "memory":
            if rest.strip("/"):
                raise ValueError("has an unknown part: memory:// stands alone")
            return cls(scheme)
        if scheme == "embedded":
            return cls(scheme, path=rest)
        if any(character.isspace() for character in rest):
            raise ValueError("has white space in it; percent-encode it: %20 for a space")
        authority, path, query = _parts(rest)
        options = _options(scheme, query)
        credentials, _, hosts = authority.rpartition("@")
        username, _, password = credentials.partition(":")
        given: dict[str, Any] = {
            "username": unquote(username) or None,
            "password": unquote(password) or None,
        }
        for name in _CREDENTIALS:
            if name in options:
                if given[name]:
                    raise ValueError(f"has the {name} twice: before @ and as an option")
                given[name] = options[name]
        if scheme == "unix":
            given["path"] = _socket(hosts, path)
        else:
            given["hosts"] = _hosts(scheme, hosts)
        given["database"] = options.get("db", 0)
        if scheme == "redis+sentinel":
            given["primary"] = _primary(path)
            given["sentinel_username"] = options.get("sentinel_username")
            given["sentinel_password"] = options.get("sentinel_password")
        elif scheme != "unix":
            given["database"] = _database_of(scheme, path, options.get("db"))
        return cls(scheme, **given, **_tls(scheme, options))


def _parts(rest: str) -> tuple[str, str, str]:
    """Authority, path and query."""
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    authority, tail = rest[:end], rest[end:]
    if "@" in tail:
        raise ValueError(
            "has an @ behind the first /, ? or #: percent-encode these characters in user, "
            f"password and options ({_ESCAPES})"
        )
    if "#" in tail:
        raise ValueError(f"has a # that is not percent-encoded ({_ESCAPES})")
    path, _, query = tail.partition("?")
    return authority, path, query


def _options(scheme: str, query: str) -> dict[str, Any]:
    known = _OPTIONS[scheme]
    options: dict[str, Any] = {}
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        if not equals or name not in known:
            raise ValueError(_unknown(name if equals else "", known, options))
        if name in options:
            raise ValueError(f"has the option {name} twice")
        try:
            options[name] = known[name](unquote(value))
        except ValueError as error:
            raise ValueError(f"has a bad option {name}: {error}") from None
    return options


def _unknown(name: str, known: Mapping[str, object], before: Mapping[str, object]) -> str:
    if any("password" in option for option in before):
        # It may be the rest of a password that has an &.
        return f"has an unknown option after a password; percent-encode passwords ({_ESCAPES})"
    if not re.fullmatch(r"[a-z_]{1,32}", name):
        return "has an option that is not name=value; known: " + ", ".join(known)
    near = _MEANT.get(name) or next(iter(difflib.get_close_matches(name, known, n=1)), "")
    if near in known:
        return f"has an unknown option {name!r}; did you mean {near}?"
    if name.startswith("ssl"):
        return f"has the option {name!r}, but {_without(known)}"
    return f"has an unknown option {name!r}; known: " + ", ".join(known)


def _without(known: Mapping[str, object]) -> str:
    return "a Unix socket has no TLS" if "ssl" not in known else f"known are {', '.join(known)}"


def _hosts(scheme: str, hosts: str) -> tuple[tuple[str, int], ...]:
    default = _PORTS.get(scheme, 6379)
    if scheme in ("redis", "rediss"):
        if "," in hosts:
            raise ValueError(
                "names several hosts: that is redis+cluster:// or redis+sentinel://…/name"
            )
        if not hosts:
            return (("localhost", default),)
    return tuple(_host(host_port, default) for host_port in hosts.split(","))


def _host(host_port: str, default: int) -> tuple[str, int]:
    bracketed = re.fullmatch(r"\[([^\[\]]*)\](?::(.*))?", host_port)
    if bracketed:
        host, port = bracketed[1], bracketed[2]
        try:
            ipaddress.IPv6Address(host.partition("%")[0])
        except ValueError:
            raise ValueError("has brackets around what is not an IPv6 address") from None
    else:
        host, colon, rest = host_port.partition(":")
        port = rest if colon else None
        if not _HOST.match(host):
            raise ValueError("names a host that is not host:port")
    if port is None:
        return host, default
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ValueError(
            "names a host that is not host:port, with a port from 1 to 65535; an IPv6 address "
            f"stands in brackets, and what is special in a password is percent-encoded ({_ESCAPES})"
        )
    return host, int(port)


def _socket(hosts: str, path: str) -> str:
    if hosts or not path.strip("/"):
        raise ValueError("does not give the socket with its whole path: unix:///run/redis.sock")
    return unquote(path)


def _primary(path: str) -> str:
    name = unquote(path).strip("/")
    if not name:
        raise ValueError("does not name the primary: redis+sentinel://host:port,host:port/name")
    if "/" in name:
        raise ValueError("has more than a name behind the hosts; the database is an option: ?db=1")
    return name


def _database_of(scheme: str, path: str, option: int | None) -> int:
    text = unquote(path).strip("/")
    if not text:
        return option or 0
    try:
        database = _database(text)
    except ValueError:
        raise ValueError("does not give the database as a whole number, such as /0") from None
    if scheme == "redis+cluster" and database:
        raise ValueError("names a database, and a cluster has only 0")
    if option is not None and option != database:
        raise ValueError("names two databases")
    return database


def _tls(scheme: str, options: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: options[name] for name in _TLS_OPTIONS if name in options}
    is_on = options.get("ssl", scheme == "rediss")
    if scheme == "rediss" and not is_on:
        raise ValueError("is rediss:// with ssl=false: it is either TLS or not")
    of_sentinels = options.get("sentinel_ssl", is_on)
    if given and not (is_on or of_sentinels):
        how = "rediss://" if scheme == "redis" else "ssl=true"
        raise ValueError(f"has {next(iter(given))} without TLS: use {how}")
    return {
        "tls": given,
        "sentinel_tls": scheme == "redis+sentinel" and of_sentinels,
        "is_tls": is_on,
    }


DEFAULT_FOLDER = ".presence"


def folder_of(path: str) -> Path:
    """The folder that `embedded://<path>` means, absolute."""
    return Path(path or DEFAULT_FOLDER).expanduser().absolute()


def mask_url(url: str) -> str:
    """A URL without the passwords in it, whether or not it can be read."""
    scheme, _, rest = url.partition("://")
    credentials, at, target = rest.rpartition("@")
    if "password" in credentials:  # an option's, with an @ that is not percent-encoded
        return f"{scheme}://********"
    if "password" in target:
        target = target.partition("?")[0] + "?…"
    if not at:
        return f"{scheme}://{target}"
    user, colon, _ = credentials.partition(":")
    if not colon or any(character in credentials for character in "/?#"):
        user = ""  # it may be a password as well
    return f"{scheme}://{user}:********@{target}"
