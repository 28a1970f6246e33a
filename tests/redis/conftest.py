"""What the tests of the way to Redis share."""

import pytest

from tests.redis.tls import Certificate, certificate_in


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate_in(tmp_path_factory.mktemp("tls"))
