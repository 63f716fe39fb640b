"""Each way in which a peer can hang ends at its deadline, delays nobody else and leaves nothing behind.

Most of these waits have no end inside paramiko. Limits here are seconds, and the time that a test allows beyond them is
generous: a wait without an end fails it all the same.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts, fetch_host_keys, pin
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.errors import TransportError, TransportFault
from tests.support import odd_sshd as odd
from tests.support.odd_sshd import odd_sshd
from tests.support.peers import Relay, peer
from tests.support.sshd import start_sshd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from compliance_agent.domain.target import Target
    from compliance_agent.engine.ports import RunResult
    from tests.support.sshd import SshdServer

_LIMIT_S = 1.0
_PATIENCE_S = 30.0
_LIMITS = SshOptions(_LIMIT_S, _LIMIT_S, _LIMIT_S, _LIMIT_S, idle_limit_s=300, alive_timeout_s=_LIMIT_S)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshdServer]:
    with start_sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Threads and descriptors are what they were; the watchdog's thread is the process's own."""
    _settle()
    before = _ours()
    yield
    deadline = time.monotonic() + _PATIENCE_S
    while _ours() != before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert _ours() == before


def _settle() -> None:
    import socket

    from compliance_agent.adapters.transports.watchdog import WATCHDOG

    with socket.socket() as sock, WATCHDOG.limit(sock, 60):
        pass


def _ours() -> tuple[list[str], list[str]]:
    gc.collect()
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith(("ssh", "paramiko", "Thread"))]
    return sorted(os.listdir("/proc/self/fd")), sorted(threads)  # noqa: PTH208 -- names


def _transport(known_hosts: Path, options: SshOptions = _LIMITS) -> SshTransport:
    return SshTransport(options, KnownHosts.load([known_hosts]), CredentialReader())


def _run(transport: SshTransport, target: Target, script: str = "echo x") -> RunResult:
    with transport.open(target) as session:
        return session.run(script, timeout_s=_LIMIT_S, output_max_bytes=1_000)


@pytest.mark.parametrize(
    ("stuck_in", "message"),
    [
        ("login", "did not finish the login"),
        ("channel", "did not start a command within 1 s"),
        ("command", "did not start a command within 1 s"),
    ],
)
def test_a_peer_that_never_answers_a_request_ends_at_that_phases_limit(
    tmp_path: Path, stuck_in: str, message: str
) -> None:
    with odd_sshd(tmp_path, stuck_in=stuck_in) as server:
        transport = _transport(server.known_hosts)
        began = time.monotonic()
        with pytest.raises(TransportError, match=message) as caught:
            _run(transport, server.target())
        assert time.monotonic() - began < _LIMIT_S + _PATIENCE_S
        assert (caught.value.fault, caught.value.retryable) == (TransportFault.TIMED_OUT, True)
        assert transport.kept_connections == 0


@pytest.mark.parametrize(
    "behaviour", [odd.never_says_how_it_ended, odd.floods_both_streams, odd.trickles, odd.never_reads]
)
def test_a_command_that_never_ends_is_over_at_its_deadline(tmp_path: Path, behaviour: Callable[..., None]) -> None:
    with odd_sshd(tmp_path, behaviour) as server:
        transport = _transport(server.known_hosts)
        began = time.monotonic()
        result = _run(transport, server.target(), "# a script longer than any window\n" * 300_000)
        assert time.monotonic() - began < _LIMIT_S + _PATIENCE_S
        assert (result.timed_out, result.exit_code) == (True, None)
        assert max(len(result.stdout), len(result.stderr)) <= 1_000
        assert transport.kept_connections == 0


def test_a_channel_that_closes_without_a_status_has_none(tmp_path: Path) -> None:
    with odd_sshd(tmp_path, odd.closes_without_a_status) as server:
        transport = _transport(server.known_hosts)
        result = _run(transport, server.target())
        assert (result.stdout, result.exit_code, result.timed_out) == (b"part\n", None, False)
        transport.close()


@pytest.mark.parametrize("script", ["exec sleep 300", "yes & exec yes >&2", "while :; do echo x; sleep 0.2; done"])
def test_a_real_server_is_left_at_the_deadline_and_its_process_ends_too(
    server: SshdServer, tmp_path: Path, script: str
) -> None:
    transport = _transport(server.known_hosts)
    began = time.monotonic()
    result = _run(transport, server.target(), f"echo $$ >{tmp_path}/pid; {script}")
    assert time.monotonic() - began < _LIMIT_S + _PATIENCE_S
    assert result.timed_out
    process = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}")
    deadline = time.monotonic() + _PATIENCE_S
    while (process.exists() or server.children()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not process.exists()
    assert server.children() == []


def test_a_cable_that_is_pulled_while_a_script_runs_ends_it_at_the_deadline(server: SshdServer, tmp_path: Path) -> None:
    relay = Relay(server.port)
    known = tmp_path / "known"
    with peer(relay) as way:
        for key in fetch_host_keys(server.host, server.port, timeout_s=10):
            pin(known, "127.0.0.1", way.port, key)
        transport = _transport(known)
        with transport.open(server.target(port=way.port)) as session:
            relay.pull_cable()
            with pytest.raises(TransportError, match="did not start a command within 1 s"):
                session.run("exec sleep 300", timeout_s=60, output_max_bytes=10)
        mark = tmp_path / "started"
        with transport.open(server.target(port=way.port)) as session:
            puller = threading.Thread(target=_when, args=(mark, relay.pull_cable))
            puller.start()
            result = session.run(f": >{mark}; exec sleep 300", timeout_s=2, output_max_bytes=10)
            puller.join()
        assert (result.timed_out, transport.kept_connections) == (True, 0)


def _when(mark: Path, act: Callable[[], None]) -> None:
    while not mark.exists():
        time.sleep(0.01)
    act()


def test_machines_that_hang_delay_no_other(server: SshdServer, tmp_path: Path) -> None:
    """Twelve peers hang, each in its own way, until the healthy machine has been scanned ten times."""
    (tmp_path / "odd").mkdir()
    with (
        odd_sshd(tmp_path / "a", stuck_in="login") as login,
        odd_sshd(tmp_path / "b", stuck_in="command") as command,
        odd_sshd(tmp_path / "c", odd.floods_both_streams) as flood,
        odd_sshd(tmp_path / "d", odd.trickles) as trickle,
    ):
        servers = (login, command, flood, trickle)
        known = tmp_path / "known"
        known.write_text("".join(one.known_hosts.read_text() for one in (*servers, server)))
        patient = SshOptions(*(600.0,) * 4, idle_limit_s=300)
        transport = _transport(known, patient)
        hanging: list[object] = []
        stop = threading.Event()

        def hang(target: Target) -> None:
            try:
                with transport.open(target) as session:
                    hanging.append(session)
                    stop.wait(0)
                    session.run("echo x", timeout_s=600, output_max_bytes=10)
            except TransportError:
                pass

        threads = [threading.Thread(target=hang, args=(one.target(),)) for one in servers for _ in range(3)]
        for thread in threads:
            thread.start()
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda _: _healthy(transport, server), range(10)))
        assert answers == [b"x\n"] * 10
        assert all(thread.is_alive() for thread in threads)
        transport.close()
    for thread in threads:  # the peers are gone, so everybody is let go
        thread.join(_PATIENCE_S)
    assert not any(thread.is_alive() for thread in threads)


def _healthy(transport: SshTransport, server: SshdServer) -> bytes:
    with transport.open(server.target()) as session:
        return session.run("echo x", timeout_s=60, output_max_bytes=10).stdout
