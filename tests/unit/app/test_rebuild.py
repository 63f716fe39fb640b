"""What is kept over SSH outlives a change of the settings that has nothing to do with it, and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.app.assemble import Access, assemble, rebuild
from compliance_agent.app.settings import load_settings
from compliance_agent.domain.target import TransportKind
from tests.support.sshd import start_sshd
from tests.support.turns import Recorder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sshd import SshdServer


def _settings(tmp_path: Path, server: SshdServer, more: str = "") -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(
        f"site_id: a\nstate_dir: {tmp_path}/state\nknown_hosts: {server.known_hosts}\n{more}\n"
        f"targets:\n  - {{id: desk, host: 127.0.0.1, port: {server.port}, user: {server.user}, "
        f"identity_file: {server.identity_file}}}\n"
    )
    return path


@pytest.mark.parametrize(
    ("more", "kept"),
    [("scan: {timeout_s: 60}", True), ("ssh: {idle_limit_s: 100}", False), ("ssh: {idle_limit_s: 0}", False)],
)
def test_a_reload_keeps_connections_unless_it_changes_how_they_are_made(tmp_path: Path, more: str, kept: bool) -> None:
    with start_sshd(tmp_path) as server:
        settings = load_settings(_settings(tmp_path, server))
        with assemble(settings, access=Access.NONE, events=Recorder()) as agent:
            before = agent.engine
            (target,) = settings.targets()
            before.open(target).close()
            after = rebuild(agent, load_settings(_settings(tmp_path, server, more)))
            with after.open(target) as session:
                assert session.kept is kept
            with before.open(target) as session:  # a turn under way goes on with the engine that it began with
                assert session.run("echo x", timeout_s=60, output_max_bytes=10).stdout == b"x\n"
        assert (before.transports[TransportKind.SSH] is after.transports[TransportKind.SSH]) is kept


def test_the_end_of_the_agent_ends_what_is_kept(tmp_path: Path) -> None:
    with start_sshd(tmp_path) as server:
        settings = load_settings(_settings(tmp_path, server))
        with assemble(settings, access=Access.NONE, events=Recorder()) as agent:
            (target,) = settings.targets()
            agent.engine.open(target).close()
            transport = agent.engine.transports[TransportKind.SSH]
            assert transport.kept_connections == 1  # type: ignore[attr-defined]  # of SSH
        assert transport.kept_connections == 0  # type: ignore[attr-defined]  # as above
