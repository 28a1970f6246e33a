"""The private Valkey, as real processes."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from service.errors import EmbeddedError
from service.redis import embedded
from service.redis.embedded import EmbeddedServer, folder_of, is_running, socket_of
from tests.servers import binary_of, wait_until

pytestmark = pytest.mark.server

_OWNER = """
import sys, time
from service.redis.embedded import EmbeddedServer
with EmbeddedServer(sys.argv[1]):
    print("owns", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _binary() -> None:
    binary_of("valkey")


@pytest.fixture(params=["plain", "with a space", "ünï", "long" * 40])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / request.param)


def client_of(folder: str) -> "redis.Redis":
    return redis.Redis(unix_socket_path=socket_of(folder), decode_responses=True)


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the folder `owned`."""
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(tmp_path / "owned")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owns\n"
        yield process
        process.kill()


def test_survives_a_restart_with_its_data(folder: str) -> None:
    for n in range(1, 4):
        with EmbeddedServer(folder), client_of(folder) as client:
            assert client.incr("count") == n
        assert not is_running(folder)


def process_of(folder: str) -> int:
    with client_of(folder) as client:
        return int(client.info("server")["process_id"])


def test_a_server_that_dies_is_started_again_with_its_data(folder: str) -> None:
    with EmbeddedServer(folder):
        for number in range(2):
            with client_of(folder) as client:
                client.set("kept", number)
            died = process_of(folder)
            os.kill(died, signal.SIGKILL)
            wait_until(lambda died=died: process_of(folder) != died)  # type: ignore[misc]
            with client_of(folder) as client:
                assert int(client.get("kept") or -1) == number
    assert not is_running(folder)


def test_a_server_whose_guard_was_killed_is_guarded_again(folder: str) -> None:
    with EmbeddedServer(folder) as server:
        unguarded = process_of(folder)
        assert server._guard is not None
        os.kill(server._guard.pid, signal.SIGKILL)
        wait_until(lambda: process_of(folder) != unguarded)
    wait_until(lambda: not is_running(folder))


def test_only_its_user_can_open_it(folder: str) -> None:
    with EmbeddedServer(folder) as server, client_of(folder) as client:
        for path in (server.folder, server.socket_path.parent, server.socket_path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
        files = [path for path in server.folder.rglob("*") if path.suffix in (".aof", ".manifest")]
        assert files
        assert all(not path.stat().st_mode & 0o077 for path in files)
        config = client.config_get("*")
        assert {name: config[name] for name in ("save", "port", "appendonly", "appendfsync")} == {
            "save": "",
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "everysec",
        }


def test_the_socket_of_a_long_folder_is_elsewhere_and_short(tmp_path: Path) -> None:
    folder = str(tmp_path / ("long" * 40))
    assert len(socket_of(folder)) < 100
    assert socket_of(folder) != socket_of(folder + "2")
    # What counts is bytes.
    assert len(os.fsencode(socket_of(str(tmp_path / ("ü" * 60))))) < 104


def test_a_guessed_socket_folder_is_refused(tmp_path: Path) -> None:
    folder = str(tmp_path / ("guess" * 40))
    guessed = Path(socket_of(folder)).parent
    guessed.mkdir(mode=0o777)
    guessed.chmod(0o777)
    try:
        with pytest.raises(EmbeddedError, match="can be opened by others"), EmbeddedServer(folder):
            pass
    finally:
        guessed.rmdir()


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert folder_of("") == tmp_path / ".presence"


def test_a_second_owner_is_refused(owner: "subprocess.Popen[str]", tmp_path: Path) -> None:
    folder = str(tmp_path / "owned")
    with (
        pytest.raises(EmbeddedError, match=rf"in use by another presence \(process {owner.pid}\)"),
        EmbeddedServer(folder),
    ):
        pass
    assert is_running(folder)  # the first one is not disturbed


def test_it_dies_with_an_owner_that_is_killed_and_keeps_its_data(
    owner: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    folder = str(tmp_path / "owned")
    with client_of(folder) as client:
        client.set("kept", "yes")
        server = int(client.info("server")["process_id"])
        owner.kill()
        owner.wait()
        # The next owner waits for the server of the last one, instead of opening its files.
        with EmbeddedServer(folder), client_of(folder) as second:
            assert second.get("kept") == "yes"
            assert int(second.info("server")["process_id"]) != server
            wait_until(lambda: not Path(f"/proc/{server}").exists(), 5, "the first server's end")


def test_it_dies_with_an_owner_that_is_killed_with_nobody_waiting(
    owner: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    folder = str(tmp_path / "owned")
    owner.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_running(folder), 5, "the server's end")


def test_a_ctrl_c_meant_for_its_owner_does_not_reach_it(tmp_path: Path) -> None:
    with EmbeddedServer(str(tmp_path)), client_of(str(tmp_path)) as client:
        assert os.getpgid(int(client.info("server")["process_id"])) != os.getpgid(0)


def test_no_binary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded, "find_binary", lambda: None)
    with (
        pytest.raises(EmbeddedError, match="has no server for"),
        EmbeddedServer(str(tmp_path / "x")),
    ):
        pass


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    data = tmp_path / "appendonlydir"
    data.mkdir()
    (data / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(EmbeddedError, match="does not start"), EmbeddedServer(str(tmp_path)):
        pass
    # And the folder is free again.
    (data / "appendonly.aof.manifest").unlink()
    with EmbeddedServer(str(tmp_path)):
        assert is_running(str(tmp_path))


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(EmbeddedError, match="cannot make the folder"),
        EmbeddedServer(str(tmp_path / "file" / "below")),
    ):
        pass


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize("own", [None, "glibc.malloc.tcache_count=7"])
def test_its_malloc_sets_aside_what_is_freed_unless_told_otherwise(
    own: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if own:
        monkeypatch.setenv("GLIBC_TUNABLES", own)
    with EmbeddedServer(str(tmp_path / "f")), client_of(str(tmp_path / "f")) as client:
        status = Path(f"/proc/{client.info('server')['process_id']}/status").read_text()
        guard = status.partition("PPid:\t")[2].split()[0]  # the server writes over its own
        environ = Path(f"/proc/{guard}/environ").read_bytes()
    wanted = own or embedded.MALLOC["GLIBC_TUNABLES"]
    # glibc puts a zero behind each, in what /proc shows.
    assert f"GLIBC_TUNABLES={wanted}:".encode() in environ.replace(b"\0", b":")
