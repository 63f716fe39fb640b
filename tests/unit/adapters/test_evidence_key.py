"""The key that signs evidence: made once, private, never replaced by accident, rotated without a gap."""

from __future__ import annotations

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.evidence_key import KeyStore, new_key, read_key, write_key
from compliance_agent.errors import CredentialError
from tests.support.evidence import a_key

if TYPE_CHECKING:
    from compliance_agent.adapters.evidence_key import EvidenceKey


@pytest.fixture
def path(tmp_path):
    return tmp_path / "evidence.key"


def test_the_first_use_makes_a_key_for_the_owner_alone(path) -> None:
    key = KeyStore(path, is_ours=True).first()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key(path).key_id == key.key_id
    assert [one.name for one in path.parent.iterdir()] == ["evidence.key"]


def test_the_second_use_takes_the_same(path) -> None:
    first = KeyStore(path, is_ours=True).first()
    assert KeyStore(path, is_ours=True).first().key_id == first.key_id
    assert KeyStore(path, is_ours=True).of(first.key_id).key_id == first.key_id


def test_two_that_make_the_first_key_at_once_end_with_the_same_one(path, monkeypatch) -> None:
    both_have_seen_none = threading.Barrier(2, timeout=60)

    def fresh() -> EvidenceKey:
        both_have_seen_none.wait()
        return new_key()

    monkeypatch.setattr("compliance_agent.adapters.evidence_key.new_key", fresh)
    with ThreadPoolExecutor(2) as racers:
        started = [racers.submit(KeyStore(path, is_ours=True).first) for _ in range(2)]
        ids = {one.result(timeout=60).key_id for one in started}
    assert ids == {read_key(path).key_id}
    assert [one.name for one in path.parent.iterdir()] == ["evidence.key"]


def test_what_a_crash_left_of_a_key_is_no_obstacle(path) -> None:
    path.with_name(".evidence.key.new").write_bytes(b"half of a k")
    assert KeyStore(path, is_ours=True).first().key_id == read_key(path).key_id
    assert [one.name for one in path.parent.iterdir()] == ["evidence.key"]


def test_a_key_that_somebody_hands_over_is_never_made_here(path) -> None:
    with pytest.raises(CredentialError, match="cannot be read"):
        KeyStore(path, is_ours=False).first()
    assert not path.exists()


def test_a_chain_whose_key_is_gone_gets_no_new_one(path) -> None:
    with pytest.raises(CredentialError, match="cannot be read"):
        KeyStore(path, is_ours=True).of(a_key().key_id)
    assert not path.exists()


def test_another_key_than_the_chains_is_refused_with_the_way_out(path) -> None:
    write_key(path, a_key(2))
    with pytest.raises(CredentialError) as caught:
        KeyStore(path, is_ours=True).of(a_key().key_id)
    assert "replace-key" in caught.value.hint


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_key_that_others_may_read_or_write_is_refused(path, mode) -> None:
    write_key(path, a_key())
    path.chmod(mode)
    with pytest.raises(CredentialError, match="may be read by others"):
        read_key(path)


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_a_private_one_is_taken(path, mode) -> None:
    write_key(path, a_key())
    path.chmod(mode)
    assert read_key(path).key_id == a_key().key_id


RSA_LIKE = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize("text", ["", "secret", RSA_LIKE])
def test_what_is_no_key_is_refused_and_not_quoted(path, text) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(CredentialError) as caught:
        read_key(path)
    assert "secret" not in str(caught.value)


def test_a_key_of_another_kind_is_refused(path) -> None:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    other = X25519PrivateKey.generate()
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    with pytest.raises(CredentialError, match="no Ed25519 key"):
        read_key(path)


def test_a_key_file_is_never_replaced(path) -> None:
    write_key(path, a_key())
    with pytest.raises(CredentialError):
        write_key(path, a_key(2))
    assert read_key(path).key_id == a_key().key_id
    assert [one.name for one in path.parent.iterdir()] == ["evidence.key"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path) -> None:
    with pytest.raises(CredentialError, match="cannot be written"):
        write_key(tmp_path / "missing" / "evidence.key", a_key())


def test_a_rotation_that_was_cut_off_before_its_entry_is_forgotten(path) -> None:
    keys = KeyStore(path, is_ours=True)
    old = keys.first()
    keys.stage()
    after = KeyStore(path, is_ours=True)
    assert after.of(old.key_id).key_id == old.key_id
    assert after.stage().key_id != old.key_id  # and another one can begin


def test_a_rotation_that_was_cut_off_after_its_entry_is_completed(path) -> None:
    keys = KeyStore(path, is_ours=True)
    keys.first()
    fresh = keys.stage()
    assert KeyStore(path, is_ours=True).of(fresh.key_id).key_id == fresh.key_id
    assert read_key(path).key_id == fresh.key_id
    assert not keys.next_path.exists()


def test_a_rotation_by_another_process_is_seen(path) -> None:
    daemon = KeyStore(path, is_ours=True)
    daemon.first()
    other = KeyStore(path, is_ours=True)
    fresh = other.stage()
    other.of(fresh.key_id)
    assert daemon.of(fresh.key_id).key_id == fresh.key_id


def test_the_private_key_does_not_show(path) -> None:
    key = new_key()
    assert key.pem().decode().splitlines()[1] not in repr(key)
    assert os.fspath(path) not in repr(key)


def test_a_credential_of_systemd_may_show_the_mode_of_its_access_control_list(tmp_path) -> None:
    path = tmp_path / "evidence-key"
    write_key(path, new_key())
    path.chmod(0o440)
    assert KeyStore(path, is_ours=False, is_credential=True).first().key_id
    with pytest.raises(CredentialError, match="may be read by others"):
        KeyStore(path, is_ours=False).first()


def test_a_key_that_could_not_be_written_leaves_no_half_of_itself(tmp_path, monkeypatch) -> None:
    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    with pytest.raises(CredentialError, match="No space left"):
        write_key(tmp_path / "evidence.key", new_key())
    assert list(tmp_path.iterdir()) == []
