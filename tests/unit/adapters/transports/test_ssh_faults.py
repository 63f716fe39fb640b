"""Each way in which a machine cannot be spoken to is a fault of its own, with a sentence and a hint."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import HostKey, KnownHosts, fetch_host_keys, pin
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.domain.target import Target, TransportKind
from compliance_agent.errors import CredentialError, TransportError, TransportFault
from tests.support.peers import dropping_first, hang_up, peer, saying, silent, trickle
from tests.support.sshd import make_key, public_key, start_sshd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.sshd import SshdServer

_QUICK = SshOptions(connect_timeout_s=1, banner_timeout_s=1, auth_timeout_s=1, channel_timeout_s=1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshdServer]:
    with start_sshd(tmp_path_factory.mktemp("shared"), host_keys=("ed25519", "rsa")) as running:
        yield running


@pytest.fixture
def known(tmp_path: Path) -> Path:
    path = tmp_path / "known_hosts"
    path.touch()
    return path


def _key(tmp_path: Path, name: str = "key") -> str:
    return str(make_key(tmp_path / name))


def _target(tmp_path: Path, port: int, host: str = "127.0.0.1") -> Target:
    return Target(
        "t", "site", transport=TransportKind.SSH, host=host, port=port, user="nobody", identity_file=_key(tmp_path)
    )


def _transport(known_hosts: Path, options: SshOptions = _QUICK) -> SshTransport:
    return SshTransport(options, KnownHosts.load([known_hosts]), CredentialReader())


def _fault(transport: SshTransport, target: Target) -> TransportError:
    with pytest.raises(TransportError) as caught:
        transport.open(target).close()
    assert caught.value.message
    assert caught.value.hint
    return caught.value


def test_a_name_that_cannot_be_one_does_not_resolve(known: Path, tmp_path: Path) -> None:
    fault = _fault(_transport(known), _target(tmp_path, 22, "no..host"))
    assert (fault.fault, fault.retryable) == (TransportFault.UNRESOLVED, False)
    assert "'no..host'" in fault.message


@pytest.mark.parametrize(("code", "retryable"), [(socket.EAI_NONAME, False), (socket.EAI_AGAIN, True)])
def test_only_a_name_server_that_does_not_answer_is_worth_a_retry(
    known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, retryable: bool
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(code, "said the name server")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    fault = _fault(_transport(known), _target(tmp_path, 22, "host.example"))
    assert (fault.fault, fault.retryable) == (TransportFault.UNRESOLVED, retryable)


def test_a_name_server_that_hangs_runs_into_the_connect_limit(
    known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(60) and [])
    fault = _fault(_transport(known), _target(tmp_path, 22, "host.example"))
    over.set()
    assert fault.fault is TransportFault.TIMED_OUT
    assert "looking up the name" in fault.message


def test_an_address_without_a_route_is_unreachable(known: Path, tmp_path: Path) -> None:
    # The broadcast address: the kernel refuses to connect to it, and nothing leaves this machine.
    fault = _fault(_transport(known), _target(tmp_path, 22, "255.255.255.255"))
    assert (fault.fault, fault.retryable) == (TransportFault.UNREACHABLE, True)


def test_a_closed_port_is_refused(known: Path, tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        fault = _fault(_transport(known), _target(tmp_path, bound.getsockname()[1]))
    assert (fault.fault, fault.retryable) == (TransportFault.REFUSED, True)


def test_a_peer_that_does_not_answer_the_connection_times_out(known: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            fault = _fault(_transport(known), _target(tmp_path, port))
    assert fault.fault is TransportFault.TIMED_OUT
    assert "did not answer on port" in fault.message


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [(silent, "sent no SSH banner within 1 s"), (trickle, "did not finish the SSH handshake within 1 s")],
)
def test_a_peer_that_stalls_in_the_handshake_times_out(
    known: Path, tmp_path: Path, behaviour: Callable[[socket.socket, threading.Event], None], message: str
) -> None:
    with peer(behaviour) as stalling:
        fault = _fault(_transport(known), _target(tmp_path, stalling.port))
    assert (fault.fault, fault.retryable) == (TransportFault.TIMED_OUT, True)
    assert message in fault.message


@pytest.mark.parametrize(
    ("behaviour", "tries"),
    [(hang_up, 5), (saying(b"Exceeded MaxStartups\r\n"), 5), (saying(b"Not allowed at this time\r\n"), 1)],
)
def test_a_peer_that_drops_by_chance_is_tried_again_and_one_that_penalises_is_not(
    known: Path, tmp_path: Path, behaviour: Callable[[socket.socket, threading.Event], None], tries: int
) -> None:
    with peer(behaviour) as dropping:
        fault = _fault(_transport(known, replace(_QUICK, connect_timeout_s=60)), _target(tmp_path, dropping.port))
        assert dropping.connections == tries
    assert (fault.fault, fault.retryable) == (TransportFault.CLOSED, True)


def test_tries_after_a_drop_end_with_the_time_to_connect(known: Path, tmp_path: Path) -> None:
    with peer(hang_up) as dropping:
        fault = _fault(_transport(known), _target(tmp_path, dropping.port))
        assert 1 <= dropping.connections < 5
    assert fault.fault is TransportFault.CLOSED


def test_a_connection_dropped_at_random_is_made_up_for(server: SshdServer, known: Path) -> None:
    with peer(dropping_first(server.port)) as crowded:
        for key in fetch_host_keys(server.host, server.port, timeout_s=10):
            pin(known, "127.0.0.1", crowded.port, key)
        with _transport(known, SshOptions()).open(server.target(port=crowded.port)) as session:
            assert session.run("echo x", timeout_s=60, output_max_bytes=10).stdout == b"x\n"
        assert crowded.connections == 2


@pytest.mark.parametrize(
    "text", [b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", b"220 mail ESMTP\r\n", b"\x16\x03\x01\x00"]
)
def test_a_peer_that_speaks_something_else_is_no_ssh_server(known: Path, tmp_path: Path, text: bytes) -> None:
    with peer(saying(text)) as speaking:
        fault = _fault(_transport(known), _target(tmp_path, speaking.port))
        assert speaking.connections == 1
    assert (fault.fault, fault.retryable) == (TransportFault.PROTOCOL, False)
    assert "does not speak SSH; it said" in fault.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [(b"SSH-2.0-x\r\n", TransportFault.CLOSED), (b"SSH-1.5-old\r\n", TransportFault.PROTOCOL)],
)
def test_a_handshake_that_breaks_off_is_told_from_one_that_cannot_be(
    known: Path, tmp_path: Path, text: bytes, expected: TransportFault
) -> None:
    with peer(saying(text)) as breaking:
        assert _fault(_transport(known), _target(tmp_path, breaking.port)).fault is expected


@pytest.mark.parametrize(
    "config", ["KexAlgorithms diffie-hellman-group14-sha1", "Ciphers aes256-cbc", "MACs hmac-sha1\nCiphers aes128-ctr"]
)
def test_weak_algorithms_are_not_spoken(tmp_path: Path, config: str) -> None:
    with start_sshd(tmp_path, config=f"{config}\n") as weak:
        fault = _fault(_transport(weak.known_hosts, SshOptions()), weak.target())
    assert fault.fault is TransportFault.PROTOCOL
    assert "shares no SSH algorithm" in fault.message


def test_an_unknown_host_key_is_shown_and_not_trusted(server: SshdServer, known: Path) -> None:
    fault = _fault(_transport(known), server.target())
    assert (fault.fault, fault.retryable) == (TransportFault.HOST_KEY_UNKNOWN, False)
    assert fetch_host_keys(server.host, server.port, timeout_s=10)[0].fingerprint in fault.message
    assert "targets add" in fault.hint


def test_a_changed_host_key_shows_both_fingerprints(server: SshdServer, known: Path, tmp_path: Path) -> None:
    old = HostKey.from_base64(public_key(make_key(tmp_path / "old")).split()[1])
    pin(known, server.host, server.port, old)
    fault = _fault(_transport(known), server.target())
    assert (fault.fault, fault.retryable) == (TransportFault.HOST_KEY_CHANGED, False)
    new = fetch_host_keys(server.host, server.port, timeout_s=10)[0]
    assert f"pinned {old.fingerprint}" in fault.message
    assert f"{known}:1" in fault.message
    assert f"offered {new.fingerprint}" in fault.message


def test_a_revoked_host_key_is_refused_though_it_is_pinned(server: SshdServer, tmp_path: Path) -> None:
    pinned = server.known_hosts.read_text()
    known = tmp_path / "known"
    known.write_text(pinned + "".join(f"@revoked * {line.split(' ', 1)[1]}\n" for line in pinned.splitlines()))
    fault = _fault(_transport(known), server.target())
    assert fault.fault is TransportFault.HOST_KEY_CHANGED
    assert "revoked" in fault.message


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ssh-rsa"])
def test_a_server_with_several_keys_is_asked_for_the_pinned_one(server: SshdServer, known: Path, kind: str) -> None:
    lines = server.known_hosts.read_text().splitlines(keepends=True)
    known.write_text("".join(line for line in lines if f" {kind} " in line))
    with _transport(known, SshOptions()).open(server.target()) as session:
        assert session.run("echo x", timeout_s=60, output_max_bytes=10).stdout == b"x\n"


def test_a_wrong_key_is_refused_and_the_hint_names_it(server: SshdServer, tmp_path: Path) -> None:
    wrong = _key(tmp_path)
    fault = _fault(_transport(server.known_hosts, SshOptions()), server.target(identity_file=wrong))
    assert (fault.fault, fault.retryable) == (TransportFault.AUTH_FAILED, False)
    assert wrong in fault.hint


def test_a_disconnect_after_too_many_tries_is_a_refused_login(tmp_path: Path) -> None:
    with start_sshd(tmp_path, config="MaxAuthTries 1\n") as strict:
        target = strict.target(identity_file=_key(tmp_path))
        assert _fault(_transport(strict.known_hosts, SshOptions()), target).fault is TransportFault.AUTH_FAILED


def test_a_login_that_hangs_times_out(tmp_path: Path) -> None:
    user = getpass.getuser()
    config = f"AuthorizedKeysFile none\nAuthorizedKeysCommand /bin/sleep 60\nAuthorizedKeysCommandUser {user}\n"
    with start_sshd(tmp_path, config=config) as hanging:
        fault = _fault(_transport(hanging.known_hosts, replace(SshOptions(), auth_timeout_s=1)), hanging.target())
    assert (fault.fault, fault.retryable) == (TransportFault.TIMED_OUT, True)
    assert "did not finish the login" in fault.message


def test_without_a_known_hosts_file_nothing_is_connected_to(tmp_path: Path) -> None:
    with peer(silent) as untouched:
        fault = _fault(_transport(tmp_path / "missing"), _target(tmp_path, untouched.port))
        assert untouched.connections == 0
    assert fault.fault is TransportFault.NOT_CONFIGURED
    assert "missing" in fault.message


@pytest.mark.parametrize("field", ["host", "user"])
def test_a_target_without_host_or_user_goes_nowhere(known: Path, tmp_path: Path, field: str) -> None:
    target = replace(_target(tmp_path, 22), **{field: ""})  # type: ignore[arg-type]  # a str field either way
    assert _fault(_transport(known), target).fault is TransportFault.NOT_CONFIGURED


def test_a_target_without_a_credential_is_not_connected_to(known: Path, tmp_path: Path) -> None:
    with peer(silent) as untouched:
        target = replace(_target(tmp_path, untouched.port), identity_file=None)
        with pytest.raises(CredentialError, match="names no credential"):
            _transport(known).open(target)
        assert untouched.connections == 0


def test_the_next_address_is_tried_when_one_refuses(server: SshdServer, monkeypatch: pytest.MonkeyPatch) -> None:
    good = (socket.AF_INET, socket.SOCK_STREAM, 6, "", (server.host, server.port))
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bad = (*good[:4], bound.getsockname())
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [bad, good])
        _transport(server.known_hosts, SshOptions()).open(server.target()).close()


def _freeze(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)


def _kill(pids: list[int]) -> None:
    for pid in pids:
        if Path(f"/proc/{pid}/comm").read_text().startswith("sshd"):
            os.kill(pid, signal.SIGKILL)


def test_a_server_frozen_before_the_command_starts_times_out(tmp_path: Path) -> None:
    with start_sshd(tmp_path) as server:
        options = replace(SshOptions(), channel_timeout_s=1)
        with _transport(server.known_hosts, options).open(server.target()) as session:
            _freeze(server.children())
            with pytest.raises(TransportError, match="did not start a command within 1 s") as caught:
                session.run("echo x", timeout_s=60, output_max_bytes=10)
    assert (caught.value.fault, caught.value.retryable) == (TransportFault.TIMED_OUT, True)


def _when_it_runs(server: SshdServer, started: Path, act: Callable[[list[int]], None]) -> threading.Thread:
    def wait_and_act() -> None:
        while not started.exists():
            time.sleep(0.01)
        act(server.children())

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


def test_a_server_frozen_while_a_command_runs_ends_at_the_deadline(tmp_path: Path) -> None:
    with start_sshd(tmp_path) as server:
        with _transport(server.known_hosts, SshOptions()).open(server.target()) as session:
            thread = _when_it_runs(server, tmp_path / "started", _freeze)
            result = session.run(f": >{tmp_path}/started; exec sleep 300", timeout_s=3, output_max_bytes=10)
            thread.join()
        assert result.timed_out


def test_a_connection_lost_midway_is_closed_and_worth_a_retry(tmp_path: Path) -> None:
    with start_sshd(tmp_path) as server, _transport(server.known_hosts, SshOptions()).open(server.target()) as session:
        thread = _when_it_runs(server, tmp_path / "started", _kill)
        with pytest.raises(TransportError, match="was lost while a script ran") as caught:
            session.run(f": >{tmp_path}/started; exec sleep 300", timeout_s=60, output_max_bytes=10)
        thread.join()
        assert (caught.value.fault, caught.value.retryable) == (TransportFault.CLOSED, True)
        with pytest.raises(TransportError) as again:
            session.run("echo x", timeout_s=60, output_max_bytes=10)
        assert again.value.fault is TransportFault.CLOSED


def test_a_server_that_allows_no_session_refuses_the_command(tmp_path: Path) -> None:
    with (
        start_sshd(tmp_path, config="MaxSessions 0\n") as server,
        _transport(server.known_hosts, SshOptions()).open(server.target()) as session,
        pytest.raises(TransportError, match="refused to start a command") as caught,
    ):
        session.run("echo x", timeout_s=60, output_max_bytes=10)
    assert caught.value.fault is TransportFault.PROTOCOL
