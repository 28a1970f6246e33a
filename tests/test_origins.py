"""Origins as people write them in the sites file."""

from pathlib import Path

import pytest

from service.api.security import Security
from service.errors import RequestError, SettingsError
from service.origins import canonical_origin
from service.settings import Settings


@pytest.mark.fault("B33")
@pytest.mark.parametrize(
    "written, sent",
    [
        ("https://blog.example.org", "https://blog.example.org"),
        ("https://blog.example.org:443", "https://blog.example.org"),
        ("http://blog.example.org:80", "http://blog.example.org"),
        ("http://blog.example.org:443", "http://blog.example.org:443"),
        ("https://blog.example.org:08443", "https://blog.example.org:8443"),
        ("https://blog.example.org:", "https://blog.example.org"),
        ("https://blog.example.org/", "https://blog.example.org"),
        (" HTTPS://Blog.Example.ORG\n", "https://blog.example.org"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://my_site.example.org", "https://my_site.example.org"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("https://[2001:DB8::0001]:443", "https://[2001:db8::1]"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("ionic://localhost", "ionic://localhost"),
        ("tauri://localhost", "tauri://localhost"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ("https://*.Example.org:443", "https://*.example.org"),
        ("https://*.BÜCHER.example", "https://*.xn--bcher-kva.example"),
        ("http://*.localhost:3000", "http://*.localhost:3000"),
        # Hosts of the network: names without regard to case and escapes, addresses as numbers.
        ("https://ex%61mple.org", "https://example.org"),
        ("https://b%C3%BCcher.example", "https://xn--bcher-kva.example"),
        ("https://XN--BCHER-KVA.example", "https://xn--bcher-kva.example"),
        ("https://bücher。example", "https://xn--bcher-kva.example"),
        ("https://ＥＸＡＭＰＬＥ.org", "https://example.org"),
        ("https://example.org.", "https://example.org."),
        ("https://-a.example", "https://-a.example"),
        ("http://127.1:3000", "http://127.0.0.1:3000"),
        ("http://0x7f.1", "http://127.0.0.1"),
        ("http://017700000001", "http://127.0.0.1"),
        ("http://2130706433", "http://127.0.0.1"),
        ("http://192.168.257", "http://192.168.1.1"),
        ("http://1.2.3.4.", "http://1.2.3.4"),
        ("http://１２７.0.0.1", "http://127.0.0.1"),
        ("http://0xFFFFFFFF", "http://255.255.255.255"),
        ("http://[1:0:0:2::3:0]", "http://[1::2:0:0:3:0]"),
        ("http://[::FFFF:1.2.3.4]:80", "http://[::ffff:102:304]"),
        ("ws://example.org:80", "ws://example.org"),
        ("wss://example.org:443", "wss://example.org"),
        ("ftp://example.org:21", "ftp://example.org"),
        ("ws://example.org:443", "ws://example.org:443"),
        # Of apps only the scheme is the same in capitals; a host is what they say it is.
        ("capacitor://LocalHost", "capacitor://LocalHost"),
        ("Capacitor://LocalHost", "capacitor://LocalHost"),
        ("tauri://LOCALHOST:1430", "tauri://LOCALHOST:1430"),
        ("capacitor://localhost:443", "capacitor://localhost:443"),
        ("ionic://app:080", "ionic://app:80"),
        ("safari-web-extension://D6D5-ABCD", "safari-web-extension://D6D5-ABCD"),
        ("app://com.example.MyShop", "app://com.example.MyShop"),
        ("app://127.1", "app://127.1"),
        ("app://Bücher", "app://B%C3%BCcher"),
        ("app://a%20b", "app://a%20b"),
        ("app://straße", "app://stra%C3%9Fe"),
        ("app://[::FFFF:1.2.3.4]", "app://[::ffff:102:304]"),
    ],
)
def test_an_origin_is_read_as_browsers_spell_it(written: str, sent: str) -> None:
    assert canonical_origin(written) == sent


@pytest.mark.fault("B33")
@pytest.mark.parametrize(
    "written, remedy",
    [
        ("*", "leave `origins` out"),
        ("", "leave `origins` out"),
        ("null", "sandboxed frame"),
        ("file://", "cannot be let in"),
        ("blog.example.org", "write https://blog.example.org"),
        ("//blog.example.org", "has no scheme: write https://blog.example.org"),
        ("blog.example.org/blog?x", "write https://blog.example.org"),
        ("http:blog.example.org", "write http://blog.example.org"),
        ("HTTPS;//blog.example.org:80", "write https://blog.example.org:80"),
        ("https//blog.example.org", "write https://blog.example.org"),
        ("httpbin.org", "write https://httpbin.org"),
        ("localhost:3000", "write https://localhost:3000"),
        ("[::1]:3000", "write https://[::1]:3000"),
        ("*.example.org", "write https://*.example.org"),
        ("user@blog.example.org", "write https://host[:port]"),
        ("::1", "write https://host[:port]"),
        ("mailto:a@b", "write https://host[:port]"),
        ("//", "write https://host[:port]"),
        ("a b", "write https://host[:port]"),
        ("Null", "sandboxed frame"),
        ("https://blog.example.org/blog", "without a path"),
        ("https://user@blog.example.org", "without a path"),
        ("https://blog.example.org:x", "bad port"),
        ("http://localhost:*", "list each port"),
        ("https://blog.example.org:65536", "bad port"),
        ("https://", "bad host"),
        ("https://a b", "bad host"),
        ("https://*", "whole first part"),
        ("https://*.org", "lets in too many"),
        ("https://*.ORG.", "lets in too many"),
        ("https://*.co.uk", "lets in too many"),
        ("https://*.com.au", "lets in too many"),
        ("https://*.0x7f.1", "before an address"),
        ("https://*.[::1]", "bad host"),
        ("app://*", "list each"),
        ("chrome-extension://*", "list each"),
        ("app://*.example.org", "list each"),
        ("app://", "bad host"),
        ("app://a b", "bad host"),
        ("https://a..b", "bad host"),
        ("https://b%FCcher.example", "bad host"),
        ("https://a%2Fb", "bad host"),
        ("https://☕.example", "xn--"),
        ("http://[fe80::1%25eth0]", "without its zone"),
        ("http://256.1", "IPv4"),
        ("http://1.2.3.08", "IPv4"),
        ("http://4294967296", "IPv4"),
        ("http://example.1", "IPv4"),
        ("https://www.*.org", "whole first part"),
        ("https://*blog.example.org", "whole first part"),
        ("https://straße.example", "xn--"),
        ("http://::1", "brackets"),
        ("http://[::g]", "IPv6"),
        ("http://1.2.3.4.5", "IPv4"),
    ],
)
def test_an_origin_that_no_browser_sends_stops_the_start(
    written: str, remedy: str, tmp_path: Path
) -> None:
    file = tmp_path / "sites.toml"
    file.write_text(f'["blog"]\norigins = ["{written}"]\n')
    with pytest.raises(SettingsError, match="bad origin for 'blog'") as refusal:
        Settings.from_env({"PRESENCE_SITES_FILE": str(file)})
    assert remedy in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.fault("B33")
@pytest.mark.parametrize(
    "origin, allowed",
    [
        ("https://www.example.org", True),
        ("https://a.b.example.org", True),
        ("https://example.org", False),
        ("http://www.example.org", False),
        ("https://www.example.org:8443", False),
        ("https://www.example.org.evil.example", False),
        ("https://evilexample.org", False),
        ("https://evil.example/.example.org", False),
        ("https://.example.org", False),
        ("https://*.example.org.evil.example", False),
        ("https://app.example.net:8443", True),
        ("https://app.example.net", False),
        ("https://-a.example.org", True),
        ("https://a_b.example.org", True),
        ("https://xn--bcher-kva.example.org", True),
        ("https://a..example.org", False),
        ("capacitor://LOCALHOST", False),
        ("capacitor://localhost:80", False),
        ("capacitor://localhost", True),
        ("null", False),
        ("", False),
    ],
)
def test_a_wildcard_lets_in_what_is_below_a_name(
    origin: str, allowed: bool, tmp_path: Path
) -> None:
    file = tmp_path / "sites.toml"
    origins = '"https://*.example.org", "https://*.example.net:8443", "capacitor://localhost"'
    file.write_text(f'["blog"]\norigins = [{origins}]\n')
    rules = Security(Settings.from_env({"PRESENCE_SITES_FILE": str(file)}))
    site, headers = rules.require_site("blog"), {b"origin": origin.encode()}
    assert rules.allowed_origin(site, headers) == (origin.encode() if allowed else None)
    if allowed:
        rules.check_origin("blog", site, headers)
    else:
        with pytest.raises(RequestError):
            rules.check_origin("blog", site, headers)
