"""The options of the Redis URL, and how each is read; what is not understood is a ValueError.

Only the names of options are told, and of those none that may be the rest of a password.
"""

import difflib
import re
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from service.numbers import whole_number

ESCAPES = "%25 for %, %2F for /, %3F for ?, %23 for #, %40 for @, %3A for :, %26 for &"
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
    raise ValueError("it must be true or false")


def read_database(text: str) -> int:
    try:
        return whole_number(text, 0, _LAST_DATABASE)
    except ValueError:
        raise ValueError("a database is a whole number, such as 0") from None


def _verification(text: str) -> str:
    if text.lower() not in ("none", "optional", "required"):
        raise ValueError("it must be none, optional or required")
    return text.lower()


def _tls_version(text: str) -> ssl.TLSVersion:
    # redis-py's own URLs take the numbers.
    match text.lower().removeprefix("tlsv"):
        case "1.2" | "771":
            return ssl.TLSVersion.TLSv1_2
        case "1.3" | "772":
            return ssl.TLSVersion.TLSv1_3
    raise ValueError("it must be TLSv1.2 or TLSv1.3")


def _verify_flags(text: str) -> list[ssl.VerifyFlags]:
    names = [name.strip() for name in text.strip("[]").split(",")]
    if any(name not in ssl.VerifyFlags.__members__ for name in names):
        raise ValueError("it must list Python's ssl.VerifyFlags, such as VERIFY_X509_STRICT")
    return [ssl.VerifyFlags[name] for name in names]


TLS_OPTIONS: dict[str, Callable[[str], Any]] = {
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
CREDENTIALS: dict[str, Callable[[str], Any]] = {"username": _text, "password": _text}
_SERVER = CREDENTIALS | {"db": read_database}
_OPTIONS: dict[str, dict[str, Callable[[str], Any]]] = {
    "redis": _SERVER | {"ssl": _bool} | TLS_OPTIONS,
    "rediss": _SERVER | {"ssl": _bool} | TLS_OPTIONS,
    "unix": _SERVER,
    "redis+sentinel": _SERVER
    | {"sentinel_username": _text, "sentinel_password": _text, "sentinel_ssl": _bool, "ssl": _bool}
    | TLS_OPTIONS,
    "redis+cluster": CREDENTIALS | {"ssl": _bool} | TLS_OPTIONS,
}
_SECRETS = {
    "username", "password", "sentinel_username", "sentinel_password", "ssl_password", "ssl_ca_data"
}  # fmt: skip
_VERIFYING = (
    "ssl_ca_certs", "ssl_ca_data", "ssl_ca_path",
    "ssl_include_verify_flags", "ssl_exclude_verify_flags",
)  # fmt: skip
_MEANT = {"tls": "ssl", "use_ssl": "ssl", "use_tls": "ssl", "database": "db"}


def read_options(scheme: str, query: str) -> dict[str, Any]:
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
        return f"has an unknown option after a password; percent-encode passwords ({ESCAPES})"
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


def check_together(tls: Mapping[str, Any]) -> None:
    """Raises ValueError where `ssl_…` options contradict each other, or have no effect."""
    if "ssl_keyfile" in tls and "ssl_certfile" not in tls:
        raise ValueError("has ssl_keyfile without ssl_certfile: name the certificate of the key")
    if "ssl_password" in tls and "ssl_keyfile" not in tls:
        raise ValueError(
            "has ssl_password without ssl_keyfile: name the file of the key, also where it is that "
            "of the certificate"
        )
    if tls.get("ssl_cert_reqs") == "none":
        if tls.get("ssl_check_hostname"):
            raise ValueError(
                "has ssl_check_hostname=true with ssl_cert_reqs=none, which looks at no certificate"
            )
        for name in _VERIFYING:
            if name in tls:
                raise ValueError(
                    f"has {name} with ssl_cert_reqs=none, which trusts anybody: leave out one of "
                    "them"
                )
    included = tls.get("ssl_include_verify_flags", ())
    for flag in tls.get("ssl_exclude_verify_flags", ()):
        if flag in included:
            raise ValueError(f"both includes and excludes the verify flag {flag.name}")
    if "ssl_ciphers" in tls and tls.get("ssl_min_version") == ssl.TLSVersion.TLSv1_3:
        raise ValueError(
            "has ssl_ciphers with ssl_min_version=TLSv1.3, whose ciphers cannot be chosen: leave "
            "out one of them"
        )


def are_shown(query: str) -> bool:
    """Whether the options of a URL may be printed: none of them is, or may be a part of, a
    secret."""
    names = {part.partition("=")[0] for part in query.split("&")}
    return not names & _SECRETS and "%40" not in query
