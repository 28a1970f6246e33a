"""Reads `PRESENCE_REDIS_URL` strictly: what is not understood stops the start.

No message quotes the URL: a password with an unescaped `/` or `?` ends up in any part of it. Only
the names of options are told, and of those none that may be the rest of a password.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from service.numbers import whole_number
from service.redis_options import (
    CREDENTIALS,
    ESCAPES,
    TLS_OPTIONS,
    are_shown,
    check_together,
    read_database,
    read_options,
)

URL_SCHEMES = (
    "embedded", "memory", "redis", "rediss", "unix", "redis+sentinel", "redis+cluster"
)  # fmt: skip
_PORTS = {"redis+sentinel": 26379}  # where none is given; of all others 6379
_OF_MANY_HOSTS = ("redis+sentinel", "redis+cluster")
_SPECIAL = re.compile(r"[?#@:&=;,*\\]|%(?![0-9A-Fa-f]{2})")  # in the name of a folder
_MASK = "********"
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?\Z")


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
            if rest not in ("", "/"):
                raise ValueError("has an unknown part: memory:// stands alone")
            return cls(scheme)
        if scheme == "embedded":
            return cls(scheme, path=_folder(rest))
        if any(character.isspace() or character == "\ufeff" for character in rest):
            raise ValueError("has white space or a byte order mark in it; a space is %20")
        authority, path, query = _parts(rest)
        credentials, hosts = _credentials(scheme, authority)
        username, _, password = credentials.partition(":")
        given: dict[str, Any] = {
            "username": unquote(username) or None,
            "password": unquote(password) or None,
        }
        # What stands before the options is read before them: of a URL that forgot its host they
        # are a part of the password, and none of their names may be told.
        in_path = None
        if scheme == "unix":
            given["path"] = _socket(hosts, path)
        else:
            given["hosts"] = _hosts(scheme, hosts)
            if scheme == "redis+sentinel":
                given["primary"] = _primary(path)
            else:
                in_path = _database_in(scheme, path)
        options = read_options(scheme, query)
        for name in CREDENTIALS:
            if name in options:
                if given[name]:
                    raise ValueError(f"has the {name} twice: before @ and as an option")
                given[name] = options[name]
        given["sentinel_username"] = options.get("sentinel_username")
        given["sentinel_password"] = options.get("sentinel_password")
        database = options.get("db", in_path)
        if in_path not in (None, database):
            raise ValueError("names two databases")
        return cls(scheme, **given, database=database or 0, **_tls(scheme, options))


def _folder(rest: str) -> str:
    """The folder of the private Valkey, as it was typed; empty: the default."""
    path = unquote(rest)
    if _SPECIAL.search(rest) or rest[:1].isspace() or not path.isprintable():
        raise ValueError(
            "is not embedded:// with a folder alone, such as embedded:///var/lib/presence: it has "
            "no options, host or password; of a name, percent-encode what is special "
            f"({ESCAPES})"
        )
    try:
        folder = folder_of(path)
    except RuntimeError:
        raise ValueError("names the home of a user who is not known") from None
    if os.path.normpath(folder) == folder.anchor:
        raise ValueError("names the root folder: give one of its own, as /var/lib/presence")
    return path


def _parts(rest: str) -> tuple[str, str, str]:
    """Authority, path and query."""
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    authority, tail = rest[:end], rest[end:]
    if "@" in tail:
        raise ValueError(
            "has an @ behind the first /, ? or #: percent-encode these characters in user, "
            f"password and options ({ESCAPES})"
        )
    if "#" in tail:
        raise ValueError(f"has a # that is not percent-encoded ({ESCAPES})")
    path, _, query = tail.partition("?")
    return authority, path, query


def _credentials(scheme: str, authority: str) -> tuple[str, str]:
    """What stands before the @, and behind it."""
    credentials, _, hosts = authority.rpartition("@")
    if "@" in credentials:
        raise ValueError(
            "has more than one @: user and password stand once, before the first host, and an @ "
            "in them is %40"
        )
    if "," in credentials and scheme in _OF_MANY_HOSTS:
        raise ValueError(
            "has a comma before the @: user and password stand once, before the first host, and "
            "a comma in them is %2C"
        )
    return credentials, hosts


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
    try:
        return host, whole_number(port, 1, 65_535)
    except ValueError:
        raise ValueError(
            "names a host that is not host:port, with a port from 1 to 65535; an IPv6 address "
            f"stands in brackets, and what is special in a password is percent-encoded ({ESCAPES})"
        ) from None


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


def _database_in(scheme: str, path: str) -> int | None:
    text = unquote(path).strip("/")
    if not text:
        return None
    try:
        database = read_database(text)
    except ValueError:
        raise ValueError("does not give the database as a whole number, such as /0") from None
    if scheme == "redis+cluster" and database:
        raise ValueError("names a database, and a cluster has only 0")
    return database


def _tls(scheme: str, options: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: options[name] for name in TLS_OPTIONS if name in options}
    is_on = options.get("ssl", scheme == "rediss")
    if scheme == "rediss" and not is_on:
        raise ValueError("is rediss:// with ssl=false: it is either TLS or not")
    of_sentinels = options.get("sentinel_ssl", is_on)
    if given and not (is_on or of_sentinels):
        how = "rediss://" if scheme == "redis" else "ssl=true"
        raise ValueError(f"has {next(iter(given))} without TLS: use {how}")
    check_together(given)
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
    """A URL as it may be printed, whether or not it can be read: without anything that stands
    before its last @, for a user's name may be a part of the password as well."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in URL_SCHEMES:
        return _MASK
    credentials, at, target = rest.rpartition("@")
    try:
        RedisUrl.parse(url)
    except ValueError:
        if not at or "?" in credentials:  # an option's, with an @ that is not percent-encoded
            return f"{scheme}://{_MASK}"
    target, question, query = target.partition("?")
    if "%40" in target:
        target = "…"
    if question:
        target += f"?{query}" if are_shown(query) else "?…"
    return f"{scheme}://{f':{_MASK}@' if at else ''}{target}"
