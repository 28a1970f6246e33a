"""The files of `service/web/static`, read once: their bytes, and how they are answered.

Whatever pages refer to stands below one version, the hash of all files, so that a page and its
scripts are always of the same release and may be kept for ever.
"""

import functools
import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response

from service.api.answers import is_known
from service.web import messages
from service.web.accepted import qualities_of

STATIC = Path(__file__).parent / "static"
FOR_EVER = "public, max-age=31536000, immutable"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_COMMENTS = re.compile(rb"/\*.*?\*/|^[ \t]+", re.DOTALL | re.MULTILINE)
_LEAST_GZIPPED = 200  # below it the headers of gzip cost more than it saves


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: `body` as it is, `gzipped` where that is shorter, and its strong ETag."""

    body: bytes = field(repr=False)
    gzipped: bytes | None = field(repr=False)
    etag: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Assets:
    """All files by name, such as `stats/main.js`, and the version they make together."""

    by_name: Mapping[str, Asset]
    version: str


def load_assets(folder: Path, made: Mapping[str, bytes] | None = None) -> Assets:
    """Reads the style sheets, scripts and images of a folder; pages are templates, not assets.
    `made`: files that are in no folder, by name.

    Raises:
        OSError: it cannot be read.
    """
    found = {
        path.relative_to(folder).as_posix(): asset_of(_read(path), path.suffix)
        for path in sorted(folder.rglob("*"))
        if path.suffix in MEDIA_TYPES and path.suffix != ".html"
    }
    for name, body in (made or {}).items():
        found[name] = asset_of(body, Path(name).suffix)
    every = "".join(f"{name} {asset.etag}\n" for name, asset in found.items())
    return Assets(found, hashlib.blake2b(every.encode(), digest_size=6).hexdigest())


def _read(path: Path) -> bytes:
    """A file's bytes; of a style sheet without what only its readers need, a sixth of it."""
    body = path.read_bytes()
    return _COMMENTS.sub(b"", body) if path.suffix == ".css" else body


def asset_of(body: bytes, suffix: str) -> Asset:
    """The asset of a file's bytes; the suffix gives its media type."""
    gzipped = gzip.compress(body, mtime=0) if len(body) >= _LEAST_GZIPPED else body
    return Asset(
        body,
        gzipped if len(gzipped) < len(body) else None,
        hashlib.blake2b(body, digest_size=12).hexdigest(),
        MEDIA_TYPES[suffix],
    )


@functools.cache
def assets() -> Assets:
    """Those of this very package."""
    return load_assets(STATIC, messages.modules())


def answer(asset: Asset, asked: Headers, headers: Mapping[str, str]) -> Response:
    """The asset as a response: gzipped where the client takes that, 304 where it has it.

    The two forms are different bytes, so each has a tag of its own, as RFC 9110, 8.8.3.3, asks.
    """
    is_gzipped = asset.gzipped is not None and _takes_gzip(asked.get("accept-encoding", ""))
    etag = f'"{asset.etag}-gzip"' if is_gzipped else f'"{asset.etag}"'
    common = {"ETag": etag, "Vary": "Accept-Encoding", **headers}
    if is_known(etag, asked.get("if-none-match", "")):
        return Response(status_code=304, headers=common)
    common["Content-Type"] = asset.media_type
    if is_gzipped:
        common["Content-Encoding"] = "gzip"
        return Response(asset.gzipped, headers=common)
    return Response(asset.body, headers=common)


def _takes_gzip(accept_encoding: str) -> bool:
    """Whether gzip is named, or anything is taken, and not with a quality of 0."""
    qualities = qualities_of(accept_encoding)
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0
