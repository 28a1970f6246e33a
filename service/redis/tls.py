"""Whether the `ssl_…` options of the URL can be used, and if not, which of them is at fault.

OpenSSL says the same of many causes, and Python tells all of its files by one error. So each
option is tried by itself, before anything is connected with all of them.
"""

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redis.asyncio.connection import RedisSSLContext

from service.redis.shared_tls import shared
from service.redis_url import RedisUrl

_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+\Z")  # how OpenSSL looks for a certificate in a folder
_REASONS = {
    "KEY_VALUES_MISMATCH": ("ssl_keyfile", "it is not the key of ssl_certfile"),
    "EE_KEY_TOO_SMALL": ("ssl_certfile", "its key is too small"),
    "CA_MD_TOO_WEAK": ("ssl_certfile", "its signature is too weak"),
}


def check_tls(url: RedisUrl) -> None:
    """Raises ValueError, naming the option, where the URL's TLS options cannot be used."""
    if not (url.is_tls or url.sentinel_tls):
        return
    tls = url.tls
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if name in tls:
            _check_file(name, tls[name])
    if "ssl_ca_path" in tls:
        _check_folder(tls["ssl_ca_path"])
    if "ssl_ca_certs" in tls:
        _check_certificates("ssl_ca_certs", cafile=tls["ssl_ca_certs"])
    if "ssl_ca_data" in tls:
        _check_certificates("ssl_ca_data", cadata=tls["ssl_ca_data"])
    if "ssl_certfile" in tls:
        _check_certificates("ssl_certfile", cafile=tls["ssl_certfile"])
        _check_key(tls)
    if "ssl_ciphers" in tls:
        _check_ciphers(tls["ssl_ciphers"])
    options = {name.removeprefix("ssl_"): value for name, value in tls.items()}
    try:
        shared(RedisSSLContext(**options)).get()
    except (OSError, ValueError) as error:
        why = (
            getattr(error, "reason", None) or getattr(error, "strerror", None) or "OpenSSL says no"
        )
        raise ValueError(f"has TLS options that do not fit ({', '.join(tls)}): {why}") from None


def _bad(name: str, why: str) -> ValueError:
    return ValueError(f"has a bad option {name}: {why}")


def _check_file(name: str, path: str) -> None:
    if "\0" in path or (Path(path).exists() and not Path(path).is_file()):
        raise _bad(name, "it is not a file")
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise _bad(name, f"it cannot be read: {error.strerror}") from None


def _check_folder(path: str) -> None:
    name = "ssl_ca_path"
    if "\0" in path:
        raise _bad(name, "it is not a folder")
    try:
        names = [file.name for file in Path(path).iterdir()]
    except NotADirectoryError:
        raise _bad(name, "it is not a folder; a file is ssl_ca_certs") from None
    except OSError as error:
        raise _bad(name, f"it cannot be read: {error.strerror}") from None
    if not any(map(_HASHED.match, names)):
        raise _bad(name, "no certificate is found in it: run openssl rehash on it")


def _check_certificates(name: str, **given: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(**given)
    except (OSError, ValueError, TypeError):  # SSLError is an OSError
        raise _bad(name, "there is no certificate in PEM in it") from None
    if not context.cert_store_stats()["x509"]:
        raise _bad(name, "there is no certificate in PEM in it")


def _check_key(tls: Mapping[str, Any]) -> None:
    password = tls.get("ssl_password")
    was_asked = False

    def ask() -> str:
        nonlocal was_asked
        was_asked = True
        return password or ""

    name = "ssl_keyfile" if "ssl_keyfile" in tls else "ssl_certfile"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(tls["ssl_certfile"], tls.get("ssl_keyfile"), ask)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or ""
        if reason in _REASONS:
            raise _bad(*_REASONS[reason]) from None
        if was_asked and password:
            raise _bad("ssl_password", "it does not open ssl_keyfile") from None
        if was_asked:
            raise _bad(
                name, "the key in it is encrypted: give ssl_keyfile and ssl_password"
            ) from None
        more = "" if name == "ssl_keyfile" else ": name its file as ssl_keyfile"
        raise _bad(name, f"there is no key in PEM in it{more}") from None
    if password and not was_asked:
        raise _bad("ssl_password", "the key in ssl_keyfile is not encrypted: leave it out")


def _check_ciphers(ciphers: str) -> None:
    # Of a list, OpenSSL passes over what it does not know.
    named = [name for name in re.split(r"[:, ]", ciphers) if name and name[0] not in "!@+-"]
    for some in (*named, ciphers):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ciphers(some)
        except (OSError, ValueError):
            more = "; those of TLS 1.3 cannot be chosen" if some.startswith("TLS_") else ""
            why = "OpenSSL does not know each name in it, or no cipher is left"
            raise _bad("ssl_ciphers", f"{why}{more}") from None
