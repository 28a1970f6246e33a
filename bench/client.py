"""P18: how much a page loads to be counted. It is a size, so it is the same on every machine."""

import gzip
from pathlib import Path

from bench.result import Context, Result

SCRIPT = Path(__file__).parent.parent / "service" / "web" / "static" / "presence.js"
MOST_BYTES, MOST_GZIP_BYTES = 2_048, 1_100


def run(context: Context) -> list[Result]:
    """The row of the script that every page loads."""
    content = SCRIPT.read_bytes()
    minified, gzipped = len(content), len(gzip.compress(content, 9, mtime=0))
    return [
        Result(
            "P18",
            "browser client, minified / gzip",
            gzipped,
            "B gzip",
            bar=f"≤ {MOST_BYTES:,} B / {MOST_GZIP_BYTES:,} B",
            reached=minified <= MOST_BYTES and gzipped <= MOST_GZIP_BYTES,
            note=f"{minified:,} B / {gzipped:,} B",
        )
    ]
