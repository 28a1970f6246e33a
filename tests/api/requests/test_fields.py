"""Which site ids are accepted."""

import pytest

from service.api.requests.fields import check_site
from service.errors import FieldError


@pytest.mark.parametrize("site", ["a", "0", "blog", "example.org", "a-b.c", "a" * 63, "a..b"])
def test_site_ids(site: str) -> None:
    assert check_site(site) == site


@pytest.mark.parametrize(
    "site",
    [
        *("", "A", "-a", ".", "..", "...", "a_b", "a b", "a\n", "{a}", "a{b", "a}", "a:b", "a/b"),
        *("é", "a" * 64, "a\x00", "*"),
    ],
)
def test_what_is_no_site_id(site: str) -> None:
    with pytest.raises(FieldError) as raised:
        check_site(site)
    assert raised.value.field == "site"
