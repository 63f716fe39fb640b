"""A secret comes from a file that only its owner can read, and never shows itself."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.credentials import SECRET_MAX_BYTES, CredentialReader, Secret
from compliance_agent.adapters.transports.login import read_credentials
from compliance_agent.domain.target import Target
from compliance_agent.errors import CredentialError
from tests.support.sshd import make_key

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("hunter2\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("text", "password"), [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), (" a ", " a "), ("häslein\n", "häslein")]
)
def test_one_line_end_is_taken_off_a_password(file: Path, text: str, password: str) -> None:
    file.write_bytes(text.encode())
    assert CredentialReader().read_password(str(file), purpose="password file").reveal() == password


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb\n", b"a\n\n", b"a\0b", b"\xff\xfe", b"a" * 70_000])
def test_what_is_no_password_is_refused_without_showing_it(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(CredentialError) as caught:
        CredentialReader().read_password(str(file), purpose="password file")
    assert str(file) in caught.value.message
    assert caught.value.hint
    assert not caught.value.retryable


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700])
def test_a_file_of_the_owner_alone_is_read(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert CredentialReader().read_password(str(file), purpose="password file").reveal() == "hunter2"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o777])
def test_a_file_that_others_can_use_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(CredentialError, match=f"mode {mode:04o}") as caught:
        CredentialReader().read(str(file), purpose="password file")
    assert caught.value.hint == f"run: chmod 600 {file}"


def test_systemds_own_credentials_may_be_readable_by_a_group(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(file.parent))
    assert CredentialReader().read_password(str(file), purpose="password file").reveal() == "hunter2"


def test_a_path_that_only_begins_like_systemds_folder_gets_no_exception(file: Path, tmp_path: Path) -> None:
    file.chmod(0o440)
    (tmp_path / "credentials").mkdir()
    with pytest.raises(CredentialError):
        CredentialReader(tmp_path / "credentials").read(f"{tmp_path}/credentials/../secret", purpose="password file")


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="does not exist"):
        CredentialReader().read(str(tmp_path / "missing"), purpose="password file")


def test_a_folder_and_a_pipe_are_no_secrets(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(CredentialError, match="not a regular file"):
            CredentialReader().read(str(path), purpose="password file")


def test_the_longest_secret_is_read(file: Path) -> None:
    file.write_text("x" * SECRET_MAX_BYTES)
    assert len(CredentialReader().read(str(file), purpose="key").reveal()) == SECRET_MAX_BYTES


def test_a_secret_never_shows_itself() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_every_kind_of_key_that_ssh_keygen_makes_is_usable(tmp_path: Path, kind: str) -> None:
    path = make_key(tmp_path / "key", kind=kind)
    credentials = read_credentials(Target("t", "site", identity_file=str(path)), CredentialReader())
    assert credentials.identity is not None
    assert credentials.password is None


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_key_with_a_passphrase_says_that_nobody_can_type_it(tmp_path: Path, kind: str) -> None:
    path = make_key(tmp_path / "key", kind=kind, passphrase="open sesame")
    with pytest.raises(CredentialError, match="protected by a passphrase"):
        read_credentials(Target("t", "site", identity_file=str(path)), CredentialReader())


@pytest.mark.parametrize(
    "text", ["hunter2", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----"]
)
def test_a_file_that_holds_no_key_is_refused_without_showing_it(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(CredentialError, match="holds no private key") as caught:
        read_credentials(Target("t", "site", identity_file=str(file)), CredentialReader())
    assert text not in str(caught.value)
