"""Settings, and the sites file, as files and editors leave them."""

import json
from pathlib import Path

import pytest

from service.api.security import Security
from service.errors import SettingsError
from service.settings import Settings
from service.sites import Site, load_sites

SITES = '["blog"]\norigins = ["https://blog.example.org"]\n'


@pytest.mark.fault("B33")
@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {} \n\n", "\ufeff{}\n", "\t{}"])
def test_what_a_file_adds_to_a_value_is_no_part_of_it(around: str, tmp_path: Path) -> None:
    (tmp_path / "sites.toml").write_text(SITES)
    values = {
        "ADMIN_TOKEN": "operator",
        "METRICS_TOKEN": "scraper",
        "REDIS_URL": "redis://:word@h/1",
        "HOST": "0.0.0.0",
        "PORT": "80",
        "KEY_PREFIX": "mine",
        "SITES_FILE": str(tmp_path / "sites.toml"),
        "TRUSTED_PROXIES": "10.0.0.0/8\n192.168.0.0/16",
        "CLIENT_IP_HEADER": "Fly-Client-IP",
        "RESPECT_DNT": "true",
    }
    settings = Settings.from_env(
        {f"PRESENCE_{name}": around.format(value) for name, value in values.items()}
    )
    assert settings.admin_token == "operator"
    assert settings.metrics_token == "scraper"
    assert settings.redis_url == "redis://:word@h/1"
    assert (settings.host, settings.port, settings.key_prefix) == ("0.0.0.0", 80, "mine")
    assert set(settings.sites.by_id) == {"blog"}
    assert len(settings.trusted_proxies) == 2
    Security(settings).check_operator({b"authorization": b"Bearer operator"})


@pytest.mark.fault("B33")
@pytest.mark.parametrize(
    "token, says",
    [
        ("\n", "is blank"),
        (" ", "is blank"),
        ('"operator"', "stands in quotes"),
        ("one\ntwo", "a header cannot carry"),
        ("wörd", "a header cannot carry"),
    ],
)
def test_a_token_that_can_never_match_stops_the_start(
    token: str, says: str, tmp_path: Path
) -> None:
    for name in ("ADMIN_TOKEN", "METRICS_TOKEN"):
        with pytest.raises(SettingsError, match=f"PRESENCE_{name}: its value .*{says}"):
            Settings.from_env({f"PRESENCE_{name}": token})
    file = tmp_path / "sites.toml"
    file.write_text(f'["blog"]\ntoken = {json.dumps(token, ensure_ascii=False)}\n')
    with pytest.raises(SettingsError, match=f"bad token for 'blog'.*{says}") as refusal:
        Settings.from_env({"PRESENCE_SITES_FILE": str(file)})
    assert not token.strip() or token not in str(refusal.value)


@pytest.mark.fault("B33")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_sites_file_as_an_editor_saves_it(encoding: str, line_end: str, tmp_path: Path) -> None:
    file = tmp_path / "sites.toml"
    mark = "\ufeff" if encoding.startswith("utf-16-") else ""
    file.write_bytes((mark + (SITES + 'token = "t\\n"\n').replace("\n", line_end)).encode(encoding))
    expected = Site(frozenset({"https://blog.example.org"}), token="t")
    assert load_sites(file).find("blog") == expected


@pytest.mark.fault("B33")
def test_a_sites_file_in_another_encoding_says_so(tmp_path: Path) -> None:
    file = tmp_path / "sites.toml"
    file.write_bytes('# für alle\n["blog"]\n'.encode("latin-1"))
    with pytest.raises(SettingsError, match="is not UTF-8: save it as UTF-8"):
        Settings.from_env({"PRESENCE_SITES_FILE": str(file)})
