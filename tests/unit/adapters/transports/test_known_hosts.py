"""Pinned host keys are found, added and taken away as OpenSSH itself would."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.known_hosts import HostKey, KnownHosts, fetch_host_keys, fingerprint, pin, unpin
from compliance_agent.errors import TransportError, TransportFault
from tests.support.peers import peer, saying
from tests.support.sshd import make_key, public_key, start_sshd

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def key(tmp_path: Path) -> HostKey:
    return HostKey.from_base64(public_key(make_key(tmp_path / "key")).split()[1])


@pytest.fixture
def other(tmp_path: Path) -> HostKey:
    return HostKey.from_base64(public_key(make_key(tmp_path / "other")).split()[1])


def _line(names: str, key: HostKey) -> str:
    return f"{names} {key.key_type} {key.base64}\n"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_the_fingerprint_is_the_one_that_ssh_keygen_prints(tmp_path: Path, kind: str) -> None:
    path = make_key(tmp_path / "key", kind=kind)
    printed = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(path)], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert fingerprint(HostKey.from_base64(public_key(path).split()[1])) == printed.split()[1]


@pytest.mark.parametrize(
    ("names", "host", "port", "found"),
    [
        ("clinic", "clinic", 22, True),
        ("clinic", "CLINIC", 22, True),
        ("Clinic", "clinic", 22, True),
        ("clinic", "clinic", 2222, False),
        ("[clinic]:2222", "clinic", 2222, True),
        ("[clinic]:2222", "clinic", 22, False),
        ("clinic,10.0.0.1", "10.0.0.1", 22, True),
        ("clinic", "clinic2", 22, False),
        ("clinic", "clini", 22, False),
        ("*.example", "a.example", 22, True),
        ("*.example", "aXexample", 22, False),
        ("10.0.0.?", "10.0.0.7", 22, True),
        ("10.0.0.?", "10.0.0.77", 22, False),
        ("*.example,!a.example", "a.example", 22, False),
        ("*.example,!a.example", "b.example", 22, True),
        ("!a.example", "b.example", 22, False),
        ("fe80::1", "fe80::1", 22, True),
        ("[fe80::1]:23", "fe80::1", 23, True),
    ],
)
def test_a_key_is_found_by_the_names_of_its_line(
    tmp_path: Path, key: HostKey, names: str, host: str, port: int, found: bool
) -> None:
    (tmp_path / "kh").write_text(_line(names, key))
    assert KnownHosts.load([tmp_path / "kh"]).keys_for(host, port).keys == ((key,) if found else ())


@pytest.mark.parametrize(("host", "port"), [("clinic", 22), ("clinic", 2222)])
def test_a_hashed_name_is_found(tmp_path: Path, key: HostKey, host: str, port: int) -> None:
    path = tmp_path / "kh"
    pin(path, host, port, key)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], capture_output=True, check=True, timeout=60)
    assert path.read_text().startswith("|1|")
    hosts = KnownHosts.load([path])
    assert hosts.keys_for(host, port).keys == (key,)
    assert hosts.keys_for("elsewhere", port).keys == ()


def test_what_is_pinned_is_found_by_ssh_keygen_too(tmp_path: Path, key: HostKey) -> None:
    pin(tmp_path / "kh", "clinic", 2222, key)
    command = ["ssh-keygen", "-F", "[clinic]:2222", "-f", str(tmp_path / "kh")]
    assert key.base64 in subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_revoked_key_is_told_apart(tmp_path: Path, key: HostKey, other: HostKey) -> None:
    (tmp_path / "kh").write_text("@revoked " + _line("*", key) + _line("clinic", other))
    pinned = KnownHosts.load([tmp_path / "kh"]).keys_for("clinic", 22)
    assert (pinned.keys, pinned.revoked) == ((other,), (key,))


def test_an_authority_is_told_apart_and_stands_for_the_hosts_it_names(tmp_path: Path, key: HostKey) -> None:
    (tmp_path / "kh").write_text("@cert-authority " + _line("*.clinic,10.0.0.?", key))
    hosts = KnownHosts.load([tmp_path / "kh"])
    assert [hosts.keys_for(name, 22).authorities for name in ("a.clinic", "10.0.0.7", "clinic")] == [(key,), (key,), ()]
    assert hosts.keys_for("a.clinic", 22).keys == ()
    assert hosts.notes == ()


def test_what_cannot_be_used_is_noted_with_its_line(tmp_path: Path, key: HostKey) -> None:
    path = tmp_path / "kh"
    path.write_text(
        "# a comment\n\n@authority " + _line("*", key) + "clinic\nclinic ssh-rsa !!!\nclinic ssh-rsa AAAA\n"
        "@odd " + _line("clinic", key) + _line("clinic", key)
    )
    hosts = KnownHosts.load([path])
    assert [note.partition(": ")[0] for note in hosts.notes] == [f"{path}:{line}" for line in (3, 4, 5, 6, 7)]
    assert hosts.keys_for("clinic", 22).keys == (key,)


def test_files_count_together_and_a_missing_one_holds_nothing(tmp_path: Path, key: HostKey, other: HostKey) -> None:
    pin(tmp_path / "a", "clinic", 22, key)
    pin(tmp_path / "b", "clinic", 22, other)
    hosts = KnownHosts.load([tmp_path / "a", tmp_path / "missing", tmp_path / "b"])
    assert hosts.keys_for("clinic", 22).keys == (key, other)
    assert hosts.keys_for("clinic", 22).sources == (f"{tmp_path}/a:1", f"{tmp_path}/b:1")
    assert hosts.configured
    assert not KnownHosts.load([tmp_path / "missing"]).configured


def test_a_key_that_is_pinned_later_is_seen_without_a_restart(tmp_path: Path, key: HostKey) -> None:
    hosts = KnownHosts.load([tmp_path / "kh"])
    assert hosts.keys_for("clinic", 22).keys == ()
    pin(tmp_path / "kh", "clinic", 22, key)
    assert hosts.keys_for("clinic", 22).keys == (key,)


def test_pinning_twice_writes_one_line(tmp_path: Path, key: HostKey) -> None:
    for _ in range(2):
        pin(tmp_path / "kh", "clinic", 22, key)
    assert (tmp_path / "kh").read_text() == _line("clinic", key)
    assert stat.S_IMODE((tmp_path / "kh").stat().st_mode) & 0o022 == 0


def test_pinning_mends_a_last_line_without_its_end(tmp_path: Path, key: HostKey, other: HostKey) -> None:
    (tmp_path / "kh").write_text(_line("first", other).rstrip())
    pin(tmp_path / "kh", "clinic", 22, key)
    assert (tmp_path / "kh").read_text() == _line("first", other) + _line("clinic", key)


def test_threads_that_pin_at_once_lose_nothing(tmp_path: Path, key: HostKey) -> None:
    threads = [threading.Thread(target=pin, args=(tmp_path / "kh", f"host{number}", 22, key)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((tmp_path / "kh").read_text().splitlines()) == sorted(
        _line(f"host{number}", key).rstrip() for number in range(20)
    )


@pytest.mark.parametrize("host", ["", "a b", "a,b", "*", "a\nb", "#a", "|1|", "@revoked"])
def test_a_host_that_would_mean_something_else_in_the_file_is_not_pinned(
    tmp_path: Path, key: HostKey, host: str
) -> None:
    with pytest.raises(ValueError, match="is no host name"):
        pin(tmp_path / "kh", host, 22, key)
    assert not (tmp_path / "kh").exists()


def test_unpinning_takes_only_the_host_away(tmp_path: Path, key: HostKey, other: HostKey) -> None:
    path = tmp_path / "kh"
    keep = "# a comment\n" + _line("clinic,other", key) + "@revoked " + _line("clinic", key) + _line("next", key)
    path.write_text(_line("clinic", key) + keep + _line("clinic", other))
    path.chmod(0o640)
    assert unpin(path, "clinic", 22) == 2
    assert path.read_text() == keep
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert unpin(path, "clinic", 22) == 0
    assert os.listdir(tmp_path).count("kh") == 1  # noqa: PTH208 -- names are all that is asked


def test_the_keys_of_a_server_are_fetched_without_a_login(tmp_path: Path) -> None:
    with start_sshd(tmp_path, host_keys=("rsa", "ed25519")) as server:
        keys = fetch_host_keys(server.host, server.port, timeout_s=30)
        assert "Accepted" not in server.log()
    assert [key.key_type for key in keys] == ["ssh-ed25519", "ssh-rsa"]
    assert {f"{key.key_type} {key.base64}" for key in keys} == {
        " ".join(line.split()[1:]) for line in server.known_hosts.read_text().splitlines()
    }


def test_a_peer_that_is_no_ssh_server_has_no_keys() -> None:
    with peer(saying(b"HTTP/1.1 400\r\n\r\n")) as web, pytest.raises(TransportError) as caught:
        fetch_host_keys("127.0.0.1", web.port, timeout_s=10)
    assert caught.value.fault is TransportFault.PROTOCOL


@pytest.mark.parametrize("blob", [b"", b"\0\0\0\x0b", b"\0\0\0\0x", b"\0\0\xff\xffssh-ed25519", b"\0\0\0\x01a"])
def test_bytes_that_are_no_key_are_refused(blob: bytes) -> None:
    with pytest.raises(ValueError, match="not an SSH public key"):
        HostKey.from_blob(blob)
