"""The real nginx and HAProxy with the very files of deploy/; only addresses are changed."""

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers import free_port, missing, wait_until

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
KINDS = ("nginx", "haproxy")


def program(name: str) -> str:
    """Where a program is; skips or fails where it is missing."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        missing(name)
    assert found is not None
    return found


def has_ipv6() -> bool:
    """Whether this machine has an IPv6 loopback."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def certificate(folder: Path) -> None:
    """A self-signed certificate for this machine: tls.crt, tls.key, and tls.pem with both."""
    subprocess.run(
        [program("openssl"), "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2",
         "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", "tls.key", "-out", "tls.crt"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    both = (folder / "tls.crt").read_text() + (folder / "tls.key").read_text()
    (folder / "tls.pem").write_text(both)


class Balancer:
    """nginx or HAProxy in front of copies.

    Args:
        kind: one of KINDS.
        ports: those of the copies, on this machine.
        changed: what is written otherwise, such as a limit that a test cannot reach.
    """

    def __init__(
        self, kind: str, ports: Sequence[int], changed: Mapping[str, str] | None = None
    ) -> None:
        self.kind = kind
        self.folder = Path(tempfile.mkdtemp(prefix=f"presence-{kind}-"))
        self.port = free_port()
        self.plain_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        certificate(self.folder)
        name = "nginx.conf" if kind == "nginx" else "haproxy.cfg"
        self.file = self.folder / name
        text = self._moved((DEPLOY / name).read_text(), ports)
        for written, instead in (changed or {}).items():
            assert written in text
            text = text.replace(written, instead)
        self.file.write_text(text)
        self.tls = ssl.create_default_context(cafile=str(self.folder / "tls.crt"))

    def _moved(self, text: str, ports: Sequence[int]) -> str:
        for n, port in enumerate(ports, 1):
            text = text.replace(f"presence-{n}:8080", f"127.0.0.1:{port}")
        assert "8080" not in text, "every address is replaced"
        text = text.replace(f"/etc/{self.kind}/tls", str(self.folder))
        if self.kind == "nginx":
            text = re.sub(r"(listen (?:\[::\]:)?)443\b", rf"\g<1>{self.port}", text)
            text = re.sub(r"(listen (?:\[::\]:)?)80\b", rf"\g<1>{self.plain_port}", text)
            if not has_ipv6():
                text = re.sub(r"listen \[::\].*", "", text)
            # Folders that only root may write to, and as few processes as there are cores here.
            temp_paths = "".join(
                f"{what}_temp_path {self.folder}/{what};\n"
                for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            return text.replace("\nhttp {\n", f"\nhttp {{\n{temp_paths}")
        v6 = r"\g<1>{0},:::{0} v6only" if has_ipv6() else r"\g<1>{0}"
        text = re.sub(r"(bind :)443,:::443 v6only", v6.format(self.port), text)
        return re.sub(r"(bind :)80,:::80 v6only", v6.format(self.plain_port), text)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text()

    def start(self) -> "Balancer":
        """Starts it and waits until it listens."""
        if self.kind == "nginx":
            command = [program("nginx"), "-e", "stderr", "-p", str(self.folder),
                       "-c", str(self.file),
                       "-g", f"daemon off; pid {self.folder}/pid;"]  # fmt: skip
        else:
            command = [program("haproxy"), "-W", "-db", "-f", str(self.file)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._listens, what=f"{self.kind} on port {self.port}")
        return self

    def _listens(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"{self.kind} has ended: {self.log[-2000:]}")
        with socket.create_connection(("127.0.0.1", self.port), 1):
            return True

    def reload(self) -> None:
        """As an operator does after a change: new workers begin, old ones finish."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGHUP if self.kind == "nginx" else signal.SIGUSR2)

    def close(self) -> None:
        """Ends it and removes its folder."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            finally:
                self._process.kill()
                self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "Balancer":
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc: object) -> None:
        self.close()
