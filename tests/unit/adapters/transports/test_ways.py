"""Ways to a machine and whom to trust there: addresses, names, fingerprints, authorities, jump hosts."""

from __future__ import annotations

import gc
import getpass
import os
import signal
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import HostKey, KnownHosts
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.errors import CredentialError, TransportError, TransportFault
from tests.support.sshd import make_key, public_key, start_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from compliance_agent.domain.target import Target
    from tests.support.sshd import SshdServer

_FUTURE = "+1h"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshdServer]:
    with start_sshd(tmp_path_factory.mktemp("inner"), host_keys=("ed25519", "rsa")) as running:
        yield running


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshdServer]:
    with start_sshd(tmp_path_factory.mktemp("gate"), config="MaxSessions 0\n") as running:
        yield running


def _says(target: Target, known_hosts: Path, **options: float) -> bytes:
    transport = SshTransport(
        SshOptions(**options),  # type: ignore[arg-type]  # limits by name
        KnownHosts.load([known_hosts]),
        CredentialReader(),
    )
    with transport.open(target) as session:
        return session.run("echo here", timeout_s=60, output_max_bytes=100).stdout


def _fault(target: Target, known_hosts: Path, **options: float) -> TransportError:
    with pytest.raises(TransportError) as caught:
        _says(target, known_hosts, **options)
    return caught.value


# addresses and names


def test_an_ipv6_address_with_a_port_of_its_own_is_reached(tmp_path: Path) -> None:
    with start_sshd(tmp_path, config="ListenAddress ::1\n") as server:
        key = public_key(server.folder / "host_ed25519")
        server.known_hosts.write_text(f"[::1]:{server.port} {key}\n")
        target = server.target(host="::1")
        assert _says(target, server.known_hosts) == b"here\n"
        assert target.address == f"[::1]:{server.port}"


def test_a_name_whose_address_changes_is_looked_up_at_each_login(
    server: SshdServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = ["127.0.0.9", "127.0.0.1"]  # nobody listens on the first
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *more, **named: real(addresses[0] if host == "desk" else host, *more, **named),
    )
    known = tmp_path / "known"
    known.write_text(f"[desk]:{server.port} {public_key(server.folder / 'host_ed25519')}\n")
    transport = SshTransport(SshOptions(), KnownHosts.load([known]), CredentialReader())
    with pytest.raises(TransportError) as caught:
        transport.open(server.target(host="desk"))
    assert caught.value.fault is TransportFault.REFUSED
    del addresses[0]
    transport.open(server.target(host="desk")).close()


# fingerprints


def _fingerprint(server: SshdServer, kind: str) -> str:
    return HostKey.from_base64(public_key(server.folder / f"host_{kind}").split()[1]).fingerprint


def test_a_fingerprint_is_enough(server: SshdServer, tmp_path: Path) -> None:
    assert _says(server.target(host_key=_fingerprint(server, "ed25519")), tmp_path / "missing") == b"here\n"


def test_a_fingerprint_counts_more_than_known_hosts(server: SshdServer) -> None:
    wrong = f"SHA256:{'A' * 43}"
    fault = _fault(server.target(host_key=wrong), server.known_hosts)
    assert (fault.fault, fault.retryable) == (TransportFault.HOST_KEY_CHANGED, False)
    assert wrong in fault.message


# OpenSSH certificate authorities


def _sign(authority: Path, public: Path, *options: str) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-s", authority, "-I", "test", *options, public], check=True, timeout=60)
    return public.with_name(f"{public.stem}-cert.pub")


class Certified:
    """What is needed to have a server show a host certificate."""

    def __init__(self, folder: Path, kind: str = "ed25519") -> None:
        folder.mkdir()
        self.authority = make_key(folder / "ca")
        self.other = make_key(folder / "other-ca")
        self.key = make_key(folder / "certified", kind=kind)
        self.known = folder / "known"

    def config(self, *options: str, by: Path | None = None) -> str:
        certificate = _sign(by or self.authority, self.key.with_name("certified.pub"), *options)
        return f"HostKey {self.key}\nHostCertificate {certificate}\n"

    def trust(self, pattern: str, authority: Path | None = None) -> Path:
        self.known.write_text(f"@cert-authority {pattern} {public_key(authority or self.authority)}\n")
        return self.known


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_host_that_a_trusted_authority_has_signed_for_is_trusted(tmp_path: Path, kind: str) -> None:
    certified = Certified(tmp_path / "ca", kind)
    with start_sshd(tmp_path, config=certified.config("-h", "-n", "127.0.0.1")) as server:
        assert _says(server.target(), certified.trust("[127.0.0.*]:*")) == b"here\n"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("-h", "-n", "elsewhere"), "made out to elsewhere"),
        (("-h",), "made out to nobody"),
        (("-n", "127.0.0.1"), "a user's certificate"),
        (("-h", "-n", "127.0.0.1", "-V", "20200101:20200102"), "expired"),
        (("-h", "-n", "127.0.0.1", "-V", "20900101:20910101"), "not valid yet"),
    ],
)
def test_a_certificate_that_is_not_for_this_host_now_vouches_for_nothing(
    tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    certified = Certified(tmp_path / "ca")
    config = certified.config(*options)
    if "-h" not in options:  # sshd shows no user's certificate: it is judged alone
        from compliance_agent.adapters.known_hosts import PinnedKeys
        from compliance_agent.adapters.transports.certificate import host_certificate_problem

        blob = HostKey.from_base64(certified.key.with_name("certified-cert.pub").read_text().split()[1]).blob
        authority = HostKey.from_base64(public_key(certified.authority).split()[1])
        problem = host_certificate_problem(blob, "127.0.0.1", PinnedKeys(authorities=(authority,)), now_s=time.time())
        assert reason in problem
        return
    with start_sshd(tmp_path, config=config) as server:
        fault = _fault(server.target(), certified.trust("*"))
    assert (fault.fault, fault.retryable) == (TransportFault.HOST_KEY_UNKNOWN, False)
    assert reason in fault.message


def test_a_certificate_of_another_authority_vouches_for_nothing(tmp_path: Path) -> None:
    certified = Certified(tmp_path / "ca")
    with start_sshd(tmp_path, config=certified.config("-h", "-n", "127.0.0.1", by=certified.other)) as server:
        fault = _fault(server.target(), certified.trust("*"))
        assert (fault.fault, "not a trusted authority" in fault.message) == (TransportFault.HOST_KEY_UNKNOWN, True)
        assert _says(server.target(), certified.trust("*", certified.other)) == b"here\n"


def test_an_authority_that_is_revoked_vouches_for_nothing(tmp_path: Path) -> None:
    certified = Certified(tmp_path / "ca")
    with start_sshd(tmp_path, config=certified.config("-h", "-n", "127.0.0.1")) as server:
        known = certified.trust("*")
        known.write_text(known.read_text() + f"@revoked * {public_key(certified.authority)}\n")
        assert _fault(server.target(), known).fault is TransportFault.HOST_KEY_UNKNOWN


def test_a_certificate_that_was_tampered_with_vouches_for_nothing(tmp_path: Path) -> None:
    from compliance_agent.adapters.known_hosts import PinnedKeys
    from compliance_agent.adapters.transports.certificate import host_certificate_problem

    certified = Certified(tmp_path / "ca")
    certified.config("-h", "-n", "desk")
    blob = HostKey.from_base64(certified.key.with_name("certified-cert.pub").read_text().split()[1]).blob
    pinned = PinnedKeys(authorities=(HostKey.from_base64(public_key(certified.authority).split()[1]),))
    assert not host_certificate_problem(blob, "desk", pinned, now_s=time.time())
    for place in range(len(blob)):
        changed = blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :]
        assert host_certificate_problem(changed, "desk", pinned, now_s=time.time()), place


def test_a_login_shows_the_certificate_of_its_key(tmp_path: Path) -> None:
    authority, user = make_key(tmp_path / "users-ca"), getpass.getuser()
    identity = make_key(tmp_path / "id")
    certificate = _sign(authority, tmp_path / "id.pub", "-n", user)
    with start_sshd(tmp_path, config=f"TrustedUserCAKeys {authority}.pub\n") as server:
        target = server.target(identity_file=str(identity), certificate_file=str(certificate))
        assert _says(target, server.known_hosts) == b"here\n"
        assert (
            _fault(server.target(identity_file=str(identity)), server.known_hosts).fault is TransportFault.AUTH_FAILED
        )


@pytest.mark.parametrize("content", [None, "no certificate", "ssh-ed25519 AAAA", "the key itself"])
def test_a_certificate_that_is_none_of_this_key_is_refused_before_anything_is_sent(
    server: SshdServer, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "cert.pub"
    if content is not None:
        path.write_text(public_key(server.identity_file) if content == "the key itself" else content)
    with pytest.raises(CredentialError, match="certificate"):
        _says(server.target(certificate_file=str(path)), server.known_hosts)


# jump hosts


def _known(tmp_path: Path, *servers: SshdServer) -> Path:
    path = tmp_path / "known"
    path.write_text("".join(server.known_hosts.read_text() for server in servers))
    return path


def test_a_target_is_reached_through_its_jump_host(server: SshdServer, gate: SshdServer, tmp_path: Path) -> None:
    before = gate.log().count("Accepted publickey")
    target = server.target(via=gate.target(target_id="gate"))
    assert _says(target, _known(tmp_path, server, gate)) == b"here\n"
    assert gate.log().count("Accepted publickey") == before + 1


def test_ten_megabytes_pass_through_a_jump_host(server: SshdServer, gate: SshdServer, tmp_path: Path) -> None:
    transport = SshTransport(SshOptions(), KnownHosts.load([_known(tmp_path, server, gate)]), CredentialReader())
    with transport.open(server.target(via=gate.target())) as session:
        result = session.run("head -c 10000000 /dev/zero", timeout_s=60, output_max_bytes=20_000_000)
    assert (len(result.stdout), result.exit_code) == (10_000_000, 0)


@pytest.mark.parametrize("missing", ["gate", "target"])
def test_jump_host_and_target_need_a_pinned_key_each(
    server: SshdServer, gate: SshdServer, tmp_path: Path, missing: str
) -> None:
    known = _known(tmp_path, server if missing == "gate" else gate)
    fault = _fault(server.target(via=gate.target()), known)
    assert fault.fault is TransportFault.HOST_KEY_UNKNOWN
    assert ("the jump host" in fault.message) == (missing == "gate")


def test_targets_behind_one_jump_host_share_its_connection(
    server: SshdServer, gate: SshdServer, tmp_path: Path
) -> None:
    before = gate.log().count("Accepted publickey")
    transport = SshTransport(SshOptions(), KnownHosts.load([_known(tmp_path, server, gate)]), CredentialReader())
    target = server.target(via=gate.target())
    with transport.open(target) as one, transport.open(target) as two:
        for session in (one, two):
            assert session.run("echo x", timeout_s=60, output_max_bytes=10).stdout == b"x\n"
    assert gate.log().count("Accepted publickey") == before + 1


def test_a_jump_host_that_cannot_be_used_is_named(server: SshdServer, gate: SshdServer, tmp_path: Path) -> None:
    wrong = gate.target(identity_file=str(make_key(tmp_path / "wrong")))
    fault = _fault(server.target(via=wrong), _known(tmp_path, server, gate))
    assert fault.fault is TransportFault.AUTH_FAILED
    assert f"the jump host {gate.target().address} could not be used" in fault.message


def test_a_target_that_its_jump_host_cannot_reach_is_unreachable(
    server: SshdServer, gate: SshdServer, tmp_path: Path
) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        target = server.target(port=bound.getsockname()[1], via=gate.target())
        fault = _fault(target, _known(tmp_path, server, gate))
    assert (fault.fault, fault.retryable) == (TransportFault.UNREACHABLE, True)
    assert "cannot reach" in fault.message


def test_a_jump_host_that_forbids_going_on_says_so(server: SshdServer, tmp_path: Path) -> None:
    with start_sshd(tmp_path, config="AllowTcpForwarding no\n") as shut:
        fault = _fault(server.target(via=shut.target()), _known(tmp_path, server, shut))
    assert fault.fault is TransportFault.UNREACHABLE
    assert "AllowTcpForwarding" in fault.hint


def test_a_jump_host_that_freezes_ends_the_run_at_its_deadline(server: SshdServer, tmp_path: Path) -> None:
    with start_sshd(tmp_path) as gate:
        transport = SshTransport(
            SshOptions(channel_timeout_s=1), KnownHosts.load([_known(tmp_path, server, gate)]), CredentialReader()
        )
        with transport.open(server.target(via=gate.target())) as session:
            for pid in gate.children():
                os.kill(pid, signal.SIGSTOP)
            with pytest.raises(TransportError, match="did not start a command within 1 s"):
                session.run("echo x", timeout_s=60, output_max_bytes=10)


def test_ways_through_a_jump_host_leave_nothing_behind(server: SshdServer, gate: SshdServer, tmp_path: Path) -> None:
    known = _known(tmp_path, server, gate)

    def ours() -> tuple[Any, int]:
        gc.collect()
        return sorted(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208 -- names

    _says(server.target(via=gate.target()), known)
    _eventually_gone(gate)
    before = ours()
    for _ in range(5):
        _says(server.target(via=gate.target()), known)
    _eventually_gone(gate)
    for _ in range(1000):
        if ours() == before:
            break
        time.sleep(0.01)
    assert ours() == before


def _eventually_gone(server: SshdServer) -> None:
    for _ in range(2000):
        if not server.children():
            return
        time.sleep(0.01)
    assert server.children() == []
