"""A request has one Host."""

from functools import partial

import pytest

from service.api.request_head import check_host
from tests.api.rules import status_of


@pytest.mark.fault("B21")
@pytest.mark.parametrize(
    "hosts, needs_host, status",
    [(1, True, 200), (2, True, 400), (0, True, 400), (0, False, 200), (2, False, 400)],
)
def test_one_host(hosts: int, needs_host: bool, status: int) -> None:
    headers = [(b"accept", b"*/*"), (b"accept", b"text/html")]
    headers += [(b"host", b"127.0.0.1")] * hosts
    assert status_of(partial(check_host, needs_host=needs_host), headers) == status
