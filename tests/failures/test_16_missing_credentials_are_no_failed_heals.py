"""Missing credentials were once counted as failed heals of the machine that lacked them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.domain.target import Target, TransportKind
from compliance_agent.errors import CredentialError
from tests.support.peers import peer, silent

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("field", ["identity_file", "password_file", "become_password_file", None])
def test_a_missing_credential_is_told_apart_and_nothing_is_tried_without_it(tmp_path: Path, field: str | None) -> None:
    (tmp_path / "known_hosts").touch()
    transport = SshTransport(SshOptions(1, 1, 1, 1), KnownHosts.load([tmp_path / "known_hosts"]), CredentialReader())
    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text("there\n")
    target = Target("t", "site", transport=TransportKind.SSH, host="127.0.0.1", user="u")
    if field is not None:
        missing: dict[str, Any] = {field: str(tmp_path / "missing")}
        target = replace(target, **({"password_file": str(tmp_path / "password")} | missing))
    with peer(silent) as untouched, pytest.raises(CredentialError) as caught:
        transport.open(replace(target, port=untouched.port))
    assert untouched.connections == 0
    assert caught.value.hint
