"""Connections are kept for the next session with the same target, and for nobody and nothing else."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts, fetch_host_keys, pin
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.errors import TransportError, TransportFault
from tests.support.peers import Relay, peer
from tests.support.sshd import make_key, public_key, start_sshd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from compliance_agent.domain.target import Target
    from tests.support.sshd import SshdServer

_PATIENCE_S = 60


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshdServer]:
    with start_sshd(tmp_path) as running:
        yield running


class Kept:
    """A transport that keeps connections, and what a test asks of it."""

    def __init__(self, server: SshdServer, **options: float) -> None:
        limits = SshOptions(**({"idle_limit_s": 300.0, "alive_timeout_s": 1.0} | options))  # type: ignore[arg-type]
        self.transport = SshTransport(limits, KnownHosts.load([server.known_hosts]), CredentialReader())
        self._server = server

    def scan(self, target: Target | None = None, *, fresh: bool = False) -> bool:
        """Have one session; return whether it went on with a kept connection."""
        with self.transport.open(target or self._server.target(), fresh=fresh) as session:
            assert session.run("echo x", timeout_s=60, output_max_bytes=10).stdout == b"x\n"
            return session.kept

    @property
    def logins(self) -> int:
        return self._server.log().count("Accepted publickey")


@pytest.fixture
def kept(server: SshdServer) -> Iterator[Kept]:
    keeping = Kept(server)
    yield keeping
    keeping.transport.close()


def _eventually(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _PATIENCE_S
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.01)
    return is_so()


def _sshd_children(server: SshdServer) -> list[int]:
    return [pid for pid in server.children() if Path(f"/proc/{pid}/comm").read_text().startswith("sshd")]


def test_the_next_session_goes_on_with_the_same_connection(kept: Kept) -> None:
    assert [kept.scan(), kept.scan(), kept.scan()] == [False, True, True]
    assert kept.logins == 1


def test_without_an_idle_limit_nothing_is_kept(server: SshdServer) -> None:
    keeping = Kept(server, idle_limit_s=0)
    assert [keeping.scan(), keeping.scan()] == [False, False]
    assert keeping.transport.kept_connections == 0


def test_two_sessions_at_once_have_a_connection_each_and_one_is_kept(kept: Kept, server: SshdServer) -> None:
    with kept.transport.open(server.target()), kept.transport.open(server.target()):
        pass
    assert (kept.logins, kept.transport.kept_connections) == (2, 1)


def test_a_fresh_session_logs_in_anew(kept: Kept) -> None:
    assert [kept.scan(), kept.scan(fresh=True), kept.scan()] == [False, False, True]
    assert (kept.logins, kept.transport.kept_connections) == (2, 1)


def test_a_fresh_login_that_fails_leaves_the_old_way_in(kept: Kept, server: SshdServer) -> None:
    kept.scan()
    (server.folder / "authorized_keys").write_text("")
    with pytest.raises(TransportError) as caught:
        kept.scan(fresh=True)
    assert caught.value.fault is TransportFault.AUTH_FAILED
    assert kept.scan()


def test_a_connection_that_was_idle_for_too_long_is_closed(server: SshdServer) -> None:
    keeping = Kept(server, idle_limit_s=0.2)
    keeping.scan()
    assert _eventually(lambda: keeping.transport.kept_connections == 0 and not server.children())
    assert not any(thread.name == "ssh-keeper" for thread in threading.enumerate())
    assert not keeping.scan()


def test_a_connection_that_is_too_old_is_not_used_again(server: SshdServer) -> None:
    keeping = Kept(server, age_limit_s=0.001)
    assert [keeping.scan(), keeping.scan()] == [False, False]
    assert keeping.transport.kept_connections == 0


def test_beyond_the_bound_the_one_idle_longest_goes(server: SshdServer) -> None:
    keeping = Kept(server, kept_max=2)
    key = server.known_hosts.read_text().split(" ", 1)[1]
    names = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]
    server.known_hosts.write_text("".join(f"[{name}]:{server.port} {key}" for name in names))
    (server.folder / "authorized_keys").write_text(public_key(server.identity_file) + "\n")
    copies = [str(make_copy(server.identity_file, str(number))) for number in range(3)]
    targets = [server.target(identity_file=copy) for copy in copies]
    for target in targets:
        keeping.scan(target)
    assert keeping.transport.kept_connections == 2
    assert [keeping.scan(targets[2]), keeping.scan(targets[1]), keeping.scan(targets[0])] == [True, True, False]
    keeping.transport.close()


def make_copy(identity: Path, suffix: str) -> Path:
    copy = identity.with_name(f"{identity.name}-{suffix}")
    copy.write_bytes(identity.read_bytes())
    copy.chmod(0o600)
    return copy


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_kept_connection_that_died_or_froze_is_noticed_before_it_is_used(
    kept: Kept, server: SshdServer, number: signal.Signals
) -> None:
    kept.scan()
    for pid in _sshd_children(server):
        os.kill(pid, number)
    assert not kept.scan()
    assert kept.scan()
    assert kept.logins == 2


def test_a_kept_connection_whose_cable_was_pulled_is_noticed_before_it_is_used(server: SshdServer) -> None:
    keeping = Kept(server)
    relay = Relay(server.port)
    with peer(relay) as way:
        for key in fetch_host_keys(server.host, server.port, timeout_s=10):
            pin(server.known_hosts, "127.0.0.1", way.port, key)
        target = server.target(port=way.port)
        keeping.scan(target)
        relay.pull_cable()
        assert [keeping.scan(target), keeping.scan(target)] == [False, True]
        keeping.transport.close()


def test_a_connection_whose_script_ran_out_of_time_is_not_kept(kept: Kept, server: SshdServer) -> None:
    with kept.transport.open(server.target()) as session:
        assert session.run("exec sleep 300", timeout_s=0.5, output_max_bytes=10).timed_out
    assert kept.transport.kept_connections == 0


def test_a_connection_that_breaks_in_use_is_not_kept(kept: Kept, server: SshdServer, tmp_path: Path) -> None:
    kept.scan()
    mark = tmp_path / "started"

    def kill() -> None:
        assert _eventually(mark.exists)
        for pid in _sshd_children(server):
            os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with kept.transport.open(server.target()) as session, pytest.raises(TransportError) as caught:
        session.run(f": >{mark}; exec sleep 300", timeout_s=_PATIENCE_S, output_max_bytes=10)
    thread.join()
    assert (session.kept, caught.value.fault) == (True, TransportFault.CLOSED)
    assert kept.transport.kept_connections == 0


def test_a_session_closed_while_a_script_runs_takes_its_connection_along(kept: Kept, server: SshdServer) -> None:
    session = kept.transport.open(server.target())

    def run() -> None:
        with pytest.raises(TransportError, match="was closed while a script ran"):
            session.run("exec sleep 300", timeout_s=200, output_max_bytes=10)

    thread = threading.Thread(target=run)
    thread.start()
    assert _eventually(lambda: any("sleep" in Path(f"/proc/{pid}/comm").read_text() for pid in server.children()))
    session.close()
    thread.join(_PATIENCE_S)
    assert kept.transport.kept_connections == 0


def test_a_key_file_that_was_replaced_logs_in_anew(kept: Kept, server: SshdServer, tmp_path: Path) -> None:
    kept.scan()
    server.identity_file.write_bytes(make_key(tmp_path / "other").read_bytes())
    with pytest.raises(TransportError) as caught:
        kept.scan()
    assert caught.value.fault is TransportFault.AUTH_FAILED


def test_a_host_key_that_was_unpinned_ends_what_was_kept(kept: Kept, server: SshdServer) -> None:
    kept.scan()
    server.known_hosts.write_text("")
    with pytest.raises(TransportError) as caught:
        kept.scan()
    assert caught.value.fault is TransportFault.HOST_KEY_UNKNOWN
    assert kept.transport.kept_connections == 0
    assert _eventually(lambda: not server.children())


def test_a_host_key_that_changed_at_a_fresh_login_ends_what_was_kept(
    kept: Kept, server: SshdServer, tmp_path: Path
) -> None:
    kept.scan()
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {public_key(make_key(tmp_path / 'other'))}\n")
    with pytest.raises(TransportError) as caught:
        kept.scan(fresh=True)
    assert caught.value.fault is TransportFault.HOST_KEY_CHANGED
    assert kept.transport.kept_connections == 0


def test_another_user_or_port_has_a_connection_of_its_own(kept: Kept, server: SshdServer) -> None:
    kept.scan()
    with pytest.raises(TransportError):
        kept.scan(server.target(user="nobody-there"))
    assert kept.logins == 1


def test_an_end_of_the_transport_leaves_nothing(server: SshdServer) -> None:
    Kept(server).scan()
    gc.collect()
    before = (sorted(os.listdir("/proc/self/fd")), threading.active_count())  # noqa: PTH208 -- names
    keeping = Kept(server)
    under_way = keeping.transport.open(server.target())
    keeping.scan()
    keeping.transport.close()
    assert under_way.run("echo x", timeout_s=60, output_max_bytes=10).stdout == b"x\n"
    under_way.close()
    assert keeping.transport.kept_connections == 0
    assert (sorted(os.listdir("/proc/self/fd")), threading.active_count()) == before  # noqa: PTH208 -- names
