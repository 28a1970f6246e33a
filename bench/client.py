"""P18: how much a page loads to be counted. It is a size, so it is the same on every machine."""

import gzip
from pathlib import Path

from bench.result import Context, Result

SCRIPT = Path(__file__).parent.parent / "service" / "web" / "static" / "presence.js"
LIVE = SCRIPT.with_name("presence-live.js")
MOST_BYTES, MOST_GZIP_BYTES = 2_048, 1_100


def sizes(file: Path) -> tuple[int, int]:
    """A file's bytes as it is, and compressed by gzip as well as that can."""
    content = file.read_bytes()
    return len(content), len(gzip.compress(content, 9, mtime=0))


def run(context: Context) -> list[Result]:
    """The row of the script that every page loads."""
    context.progress.start("browser client", 1)
    minified, gzipped = sizes(SCRIPT)
    shown = "{:,} B / {:,} B".format
    context.progress.step()
    return [
        Result(
            "P18", "browser client, minified / gzip",
            gzipped, "B gzip", "", None, None, f"≤ {MOST_BYTES:,} B / {MOST_GZIP_BYTES:,} B",
            minified <= MOST_BYTES and gzipped <= MOST_GZIP_BYTES,
            note=f"{shown(minified, gzipped)}; "
            f"live numbers, loaded where they are shown: {shown(*sizes(LIVE))}",
            detail={"minified": minified, "gzip": gzipped},
        )
    ]  # fmt: skip
