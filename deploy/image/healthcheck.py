"""The image's health check: exit 0 where /livez answers, 1 where it does not.

It asks /livez, not /readyz: a container is not to be restarted because Redis is away.
"""

import os
import sys
import urllib.request

TIMEOUT_S = 2


def main() -> int:
    """The exit code."""
    host = os.environ.get("PRESENCE_HOST", "127.0.0.1")
    if host in ("0.0.0.0", "::"):  # noqa: S104  compared, not bound
        host = "127.0.0.1"
    port = os.environ.get("PRESENCE_PORT", "8080")
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/livez"
    # No proxy of the environment stands between a container and itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT_S) as answer:
            return 0 if answer.status == 200 else 1
    except OSError as error:  # urllib's URLError and HTTPError among them
        print(f"{url}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
