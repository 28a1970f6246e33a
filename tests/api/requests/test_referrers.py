"""What is kept of a referrer."""

import pytest

from service.api.requests.referrers import clean_referrer


@pytest.mark.parametrize(
    "given, kept",
    [
        ("https://Example.ORG/a?token=secret#x", "example.org"),
        ("http://example.org:8080/a", "example.org"),
        ("//example.org/a", "example.org"),
        ("example.org/a", "example.org"),
        ("example.org", "example.org"),
        ("https://user:secret@example.org/", "example.org"),
        ("https://user:se@cret@example.org/", "example.org"),
        ("android-app://com.example.app/", "com.example.app"),
        ("https://münchen.example/", "münchen.example"),
        ("https://example.org\n/", ""),
        ("secret?token=1", ""),
        ("javascript:alert(1)", ""),
        ("<script>", ""),
        ("https://[::1]/", ""),
        ("", ""),
    ],
)
def test_of_referrers_only_the_host_is_kept(given: str, kept: str) -> None:
    assert clean_referrer(given) == kept
