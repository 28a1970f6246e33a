"""A real service with a site that has users, and one that asks for an origin."""

from collections.abc import Iterator

import httpx
import pytest

from tests.browser.site import LiveService, running

SECRET = "a secret of thirty-two bytes, or more"
TOKEN = "the-token-of-the-site-of-a-team"
SITES = f"""
[team]
origins = ["https://team.example.com"]
token = "{TOKEN}"
user_secrets = ["{SECRET}"]

[open]
"""

# Certificates are read once: it takes longer than a test.
TLS = httpx.create_ssl_context()


@pytest.fixture(scope="module")
def live_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """With times of a minute, so that nobody is gone before they were looked for."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "sites.toml").write_text(SITES)
    times = {"SESSION_TIMEOUT": "120", "HEARTBEAT_INTERVAL": "30", "HEARTBEAT_DEDUP": "10"}
    with running(folder, "memory://", SITES_FILE="sites.toml", **times) as service:
        yield service
