"""What is told of TLS options that cannot be used: which of them is at fault, and why."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from service.errors import SettingsError
from service.redis.client import connect
from tests import servers


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two keys with their certificates, and what is none."""
    if not shutil.which("openssl"):
        servers.missing("openssl")
    folder = tmp_path_factory.mktemp("files")
    for name in ("own", "other"):
        _openssl(
            folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=h",
            "-keyout", f"{name}.key", "-out", f"{name}.pem",
        )  # fmt: skip
    _openssl(
        folder, "rsa", "-aes256", "-in", "own.key", "-passout", "pass:word", "-out", "locked.key"
    )
    own = (folder / "own.pem").read_text()
    (folder / "both.pem").write_text(own + (folder / "own.key").read_text())
    (folder / "locked.pem").write_text(own + (folder / "locked.key").read_text())
    (folder / "empty.pem").touch()
    (folder / "text.pem").write_text("no certificate\n")
    (folder / "broken.pem").write_text(own[:200] + own[240:])
    _openssl(folder, "x509", "-in", "own.pem", "-outform", "der", "-out", "own.der")
    (folder / "plain").mkdir()
    shutil.copy(folder / "own.pem", folder / "plain")
    shutil.copytree(folder / "plain", folder / "hashed")
    _openssl(folder, "rehash", "hashed")
    return folder


OWN = "ssl_certfile={}/own.pem&ssl_keyfile={}"


@pytest.mark.fault("B34")
@pytest.mark.parametrize(
    "options",
    [
        "ssl_ca_certs={}/own.pem",
        "ssl_ca_certs={}/both.pem",
        "ssl_ca_path={}/hashed",
        "ssl_certfile={}/both.pem",
        f"{OWN}/own.key",
        f"{OWN}/locked.key&ssl_password=word",
        "ssl_certfile={}/locked.pem&ssl_keyfile={}/locked.pem&ssl_password=word",
        "ssl_ciphers=ECDHE-RSA-AES128-GCM-SHA256:!aNULL:-PSK:%40STRENGTH",
        "ssl_ciphers=HIGH:!aNULL:ECDHE%2BAESGCM",
        "ssl_min_version=TLSv1.3",
        "ssl_include_verify_flags=VERIFY_X509_STRICT,VERIFY_X509_PARTIAL_CHAIN",
        "ssl_exclude_verify_flags=VERIFY_X509_STRICT&ssl_check_hostname=false",
    ],
)
def test_what_can_be_used(folder: Path, options: str) -> None:
    connect(f"rediss://h?{options.replace('{}', str(folder))}")


@pytest.mark.fault("B34")
@pytest.mark.parametrize(
    "options, says",
    [
        ("ssl_ca_certs={}/none.pem", "ssl_ca_certs: it cannot be read: No such file"),
        ("ssl_ca_certs={}", "ssl_ca_certs: it is not a file"),
        ("ssl_ca_certs=/dev/null", "ssl_ca_certs: it is not a file"),
        ("ssl_ca_certs=%00", "ssl_ca_certs: it is not a file"),
        ("ssl_ca_certs={}/empty.pem", "ssl_ca_certs: there is no certificate"),
        ("ssl_ca_certs={}/text.pem", "ssl_ca_certs: there is no certificate"),
        ("ssl_ca_certs={}/own.key", "ssl_ca_certs: there is no certificate"),
        ("ssl_ca_certs={}/own.der", "ssl_ca_certs: there is no certificate in PEM"),
        ("ssl_ca_certs={}/broken.pem", "ssl_ca_certs: there is no certificate in PEM"),
        ("ssl_ca_data=text", "ssl_ca_data: there is no certificate in PEM"),
        ("ssl_ca_data=t%C3%A9xt", "ssl_ca_data: there is no certificate in PEM"),
        ("ssl_ca_path={}/none", "ssl_ca_path: it cannot be read: No such file"),
        ("ssl_ca_path={}/own.pem", "ssl_ca_path: it is not a folder; a file is ssl_ca_certs"),
        ("ssl_ca_path=%00", "ssl_ca_path: it is not a folder"),
        ("ssl_ca_path={}/plain", "ssl_ca_path: .*run openssl rehash"),
        ("ssl_certfile={}/none.pem", "ssl_certfile: it cannot be read: No such file"),
        ("ssl_certfile={}/own.key", "ssl_certfile: there is no certificate"),
        ("ssl_certfile={}/own.pem", "ssl_certfile: there is no key .*name its file as ssl_keyfile"),
        ("ssl_certfile={}/locked.pem", "ssl_certfile: the key in it is encrypted"),
        (f"{OWN}/none.key", "ssl_keyfile: it cannot be read: No such file"),
        (f"{OWN}/text.pem", "ssl_keyfile: there is no key in PEM"),
        (f"{OWN}/own.pem", "ssl_keyfile: there is no key in PEM"),
        (f"{OWN}/other.key", "ssl_keyfile: it is not the key of ssl_certfile"),
        (f"{OWN}/locked.key", "ssl_keyfile: the key in it is encrypted: give .*ssl_password"),
        (f"{OWN}/locked.key&ssl_password=w0rd", "ssl_password: it does not open ssl_keyfile"),
        (f"{OWN}/own.key&ssl_password=word", "ssl_password: the key .*is not encrypted"),
        ("ssl_ciphers=bogus", "ssl_ciphers: OpenSSL does not know"),
        ("ssl_ciphers=HIGH:bogus", "ssl_ciphers: OpenSSL does not know"),
        ("ssl_ciphers=TLS_AES_128_GCM_SHA256", "ssl_ciphers: .*TLS 1.3 cannot be chosen"),
        ("ssl_ciphers=%20", "ssl_ciphers: .*no cipher is left"),
        ("ssl_ciphers=!ALL", "ssl_ciphers: .*no cipher is left"),
    ],
)
@pytest.mark.parametrize("form", ["rediss://h?", "redis+sentinel://h/web?sentinel_ssl=1&"])
def test_what_cannot_be_used(folder: Path, form: str, options: str, says: str) -> None:
    with pytest.raises(SettingsError, match=f"has a bad option {says}") as refusal:
        connect(form + options.replace("{}", str(folder)))
    told = str(refusal.value)
    assert "\n" not in told
    assert "w0rd" not in told
    assert str(folder) not in told


@pytest.mark.fault("B34")
def test_what_may_not_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything: so the refusal is the one that any other user gets."""

    really_open = Path.open

    def refuse(self: Path, *arguments: Any) -> Any:
        if self.name == "own.key":
            raise PermissionError(13, "Permission denied")
        return really_open(self, *arguments)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SettingsError, match="ssl_keyfile: it cannot be read: Permission denied"):
        connect(f"rediss://h?ssl_certfile={folder}/own.pem&ssl_keyfile={folder}/own.key")
