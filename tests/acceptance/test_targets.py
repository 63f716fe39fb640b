"""Adding, testing and removing machines over a real OpenSSH server, and every fault by the command line. No root."""

from __future__ import annotations

import json
import socket
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.target_files import managed_known_hosts_path, managed_targets_path
from tests.support.cli import cli
from tests.support.local_site import on_a_terminal
from tests.support.peers import peer, silent
from tests.support.sshd import SshdServer, make_key, public_key, start_sshd

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import CompletedProcess


class RemoteSite:
    """A settings file for whatever listens on a port, with short deadlines."""

    def __init__(self, folder: Path, server: SshdServer) -> None:
        self.folder, self.server = folder, server
        self.settings, self.state = folder / "settings.yaml", folder / "state"
        self.write()

    def write(self, target: str = "", known_hosts: Path | None = None) -> None:
        pins = f"known_hosts: {known_hosts}" if known_hosts else ""
        self.settings.write_text(
            f"site_id: north-valley\nstate_dir: {self.state}\n{pins}\n"
            "ssh: {connect_timeout_s: 2, banner_timeout_s: 1, auth_timeout_s: 3}\n"
            f"targets:{f' [{target}]' if target else ' []'}\n",
            encoding="utf-8",
        )

    def __call__(self, *arguments: str) -> CompletedProcess[str]:
        return cli(*arguments, "-c", str(self.settings))

    def add(self, *options: str, target_id: str = "far") -> list[str]:
        server = self.server
        where = ["--host", server.host, "--port", str(server.port), "--user", server.user]
        arguments = ["targets", "add", target_id, *where, "--identity-file", str(server.identity_file), *options]
        return [*arguments, "-c", str(self.settings)]

    def pinned(self) -> bool:
        found = KnownHosts.load([managed_known_hosts_path(self.state)])
        return bool(found.keys_for(self.server.host, self.server.port).keys)

    def ids(self) -> list[str]:
        return [row["target"] for row in json.loads(self("targets", "list", "-o", "json").stdout)["targets"]]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.state / 'state.sqlite'}?mode=ro", uri=True)) as database:
            return database.execute(query).fetchall()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with start_sshd(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture
def site(tmp_path, server):
    return RemoteSite(tmp_path, server)


@pytest.fixture(scope="module")
def fingerprint(server):
    (key,) = KnownHosts.load([server.known_hosts]).keys_for(server.host, server.port).keys
    return key.fingerprint


def test_a_machine_added_by_its_fingerprint_is_pinned_tried_listed_tested_and_removed(site, fingerprint):
    done = cli(*site.add("--fingerprint", fingerprint))
    assert done.returncode == 0, done.stderr
    assert "1 host key pinned" in done.stdout
    assert "✓ far: " in done.stdout
    assert "is only observed" in done.stdout
    assert (site.ids(), site.pinned()) == (["far"], True)
    tested = site("targets", "test", "far")
    assert (tested.returncode, tested.stdout.startswith("✓ far: 127.0.0.1:")) == (0, True)
    removed = site("targets", "remove", "far")
    assert (removed.returncode, site.ids(), site.pinned()) == (0, [], False)
    again = site("targets", "remove", "far")
    assert again.returncode == 64


def test_a_machine_added_by_its_host_key_is_tried_with_that_key_alone_and_pins_nothing(site, fingerprint):
    done = cli(*site.add("--host-key", fingerprint))
    assert done.returncode == 0, done.stderr
    assert "the host key of its entry alone is trusted" in done.stdout
    assert not site.pinned()
    wrong = cli(*site.add("--host-key", "SHA256:" + "A" * 43, target_id="other"))
    assert wrong.returncode == 4
    assert "other is kept" in wrong.stdout


def test_a_machine_is_added_and_reached_through_another_which_then_stays(site, fingerprint):
    assert cli(*site.add("--fingerprint", fingerprint, target_id="door")).returncode == 0
    done = cli(*site.add("--host-key", fingerprint, "--via", "door"))
    assert done.returncode == 0, done.stderr
    assert "via: door" in (site.state / "targets.yaml").read_text()
    refused = site("targets", "remove", "door")
    assert (refused.returncode, site.ids()) == (64, ["door", "far"])
    assert "far is reached through door" in refused.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--via", "nowhere", "--host-key", "SHA256:" + "A" * 43), "there is no way through nowhere; known: none"),
        (("--host-key", "SHA256:" + "A" * 43, "--fingerprint", "SHA256:" + "A" * 43), "exclude each other"),
    ],
)
def test_a_way_that_is_not_there_and_two_words_for_one_key_are_refused(site, options, told):
    done = cli(*site.add(*options))
    assert (done.returncode, site.ids()) == (64, [])
    assert told in done.stderr


def test_a_key_that_cannot_be_shown_must_be_given(site, fingerprint):
    cli(*site.add("--fingerprint", fingerprint, target_id="door"))
    done = cli(*site.add("--via", "door", "--fingerprint", fingerprint))
    assert (done.returncode, site.ids()) == (64, ["door"])
    assert "give its fingerprint: --host-key" in done.stderr


def test_a_certificate_is_kept_by_path_and_checked_at_the_login(site, fingerprint, tmp_path):
    done = cli(*site.add("--fingerprint", fingerprint, "--certificate", str(tmp_path / "absent-cert.pub")))
    assert done.returncode == 4
    assert "absent-cert.pub" in done.stdout
    assert f"certificate_file: {tmp_path}/absent-cert.pub" in (site.state / "targets.yaml").read_text()


def test_what_is_managed_is_for_the_owner_alone_and_holds_paths_not_secrets(site, fingerprint):
    cli(*site.add("--fingerprint", fingerprint))
    path = managed_targets_path(site.state)
    assert path.stat().st_mode & 0o777 == 0o600
    assert str(site.server.identity_file) in path.read_text()
    assert "PRIVATE KEY" not in path.read_text()


def test_a_wrong_fingerprint_is_refused_and_nothing_is_written(site, fingerprint):
    done = cli(*site.add("--fingerprint", "SHA256:" + "A" * 43))
    assert done.returncode == 1
    assert fingerprint in done.stderr
    assert "hint: " in done.stderr
    assert not site.state.exists()


def test_a_yes_on_the_terminal_pins_what_was_shown(site, fingerprint):
    shown, code = on_a_terminal(*site.add(), answers=[("Pin them?", "y\n")])
    assert code == 0, shown
    assert fingerprint in shown
    assert (site.ids(), site.pinned()) == (["far"], True)


@pytest.mark.parametrize("answer", ["n\n", "\n", "^C"])
def test_anything_else_pins_nothing(site, answer):
    _, code = on_a_terminal(*site.add(), answers=[("Pin them?", answer)])
    assert code == 1
    assert not site.state.exists()


def test_with_nobody_to_ask_the_keys_are_shown_and_nothing_is_written(site, fingerprint):
    done = cli(*site.add())
    assert done.returncode == 64
    assert fingerprint in done.stdout
    assert "--fingerprint" in done.stderr
    assert not site.state.exists()


def test_an_id_that_is_taken_is_refused_wherever_it_stands(site, fingerprint):
    assert cli(*site.add("--fingerprint", fingerprint)).returncode == 0
    before = managed_targets_path(site.state).read_bytes()
    again = cli(*site.add("--fingerprint", fingerprint))
    assert again.returncode == 1
    assert f"a target far stands already at {managed_targets_path(site.state)}" in again.stderr
    site.write("{id: here, transport: local}")
    taken = cli(*site.add("--fingerprint", fingerprint, target_id="here"))
    assert taken.returncode == 1
    assert f"{site.settings}:" in taken.stderr
    assert managed_targets_path(site.state).read_bytes() == before


def test_a_target_of_the_settings_file_is_taken_out_there(site):
    site.write("{id: here, transport: local}")
    done = site("targets", "remove", "here")
    assert done.returncode == 64
    assert f"{site.settings}:" in done.stderr


def test_two_targets_of_one_machine_share_its_pins_until_the_last_goes(site, fingerprint):
    for name in ("one", "two"):
        assert cli(*site.add("--fingerprint", fingerprint, target_id=name)).returncode == 0
    site("targets", "remove", "one")
    assert site.pinned()
    site("targets", "remove", "two")
    assert not site.pinned()


def test_a_login_that_fails_is_told_and_the_machine_is_kept(site, fingerprint, tmp_path):
    site.server = SshdServer(
        site.server.host,
        site.server.port,
        site.server.user,
        make_key(tmp_path / "stranger"),
        site.server.known_hosts,
        site.server.folder,
        site.server.process,
    )
    done = cli(*site.add("--fingerprint", fingerprint))
    assert done.returncode == 4
    assert "✗ far: auth_failed" in done.stdout
    assert "far is kept" in done.stdout
    assert site.ids() == ["far"]


# --- faults: each its own, never drift ---------------------------------------------------------


def a_target(port: int, key: Path, user: str, host: str = "127.0.0.1") -> str:
    return (
        f"{{id: far, host: {host}, port: {port}, user: {user}, identity_file: {key}, checks: {{include: ['LIN-*']}}}}"
    )


def refused_port(site: RemoteSite) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    site.write(a_target(port, site.server.identity_file, "u"), site.server.known_hosts)


def unresolvable_name(site: RemoteSite) -> None:
    site.write(a_target(22, site.server.identity_file, "u", "no-such-host.invalid"), site.server.known_hosts)


def unknown_host_key(site: RemoteSite) -> None:
    empty = site.folder / "none"
    empty.touch()
    site.write(a_target(site.server.port, site.server.identity_file, site.server.user), empty)


def changed_host_key(site: RemoteSite) -> None:
    other = make_key(site.folder / "other")
    pins = site.folder / "pins"
    pins.write_text(f"[127.0.0.1]:{site.server.port} {public_key(other)}\n")
    site.write(a_target(site.server.port, site.server.identity_file, site.server.user), pins)


def wrong_user_key(site: RemoteSite) -> None:
    stranger = make_key(site.folder / "stranger")
    site.write(a_target(site.server.port, stranger, site.server.user), site.server.known_hosts)


def missing_user_key(site: RemoteSite) -> None:
    site.write(a_target(site.server.port, site.folder / "nowhere", site.server.user), site.server.known_hosts)


@pytest.mark.parametrize(
    ("arrange", "fault"),
    [
        (refused_port, "refused"),
        (unresolvable_name, "unresolved"),
        (unknown_host_key, "host_key_unknown"),
        (changed_host_key, "host_key_changed"),
        (wrong_user_key, "auth_failed"),
        (missing_user_key, "not_configured"),
    ],
)
def test_a_fault_is_itself_with_a_hint_and_never_drift(site, arrange, fault):
    arrange(site)
    check_fault(site, fault)


def test_a_server_that_never_says_a_word_is_timed_out(site):
    with peer(silent) as mute:
        pins = site.folder / "pins"
        pins.write_text(f"[127.0.0.1]:{mute.port} {public_key(site.server.folder / 'host_ed25519')}\n")
        site.write(a_target(mute.port, site.server.identity_file, "u"), pins)
        check_fault(site, "timed_out")


def check_fault(site: RemoteSite, fault: str) -> None:
    planned = site("plan", "-o", "json")
    document = json.loads(planned.stdout)
    (target,) = document["targets"]
    assert (planned.returncode, target["reached"], target["fault"]) == (4, False, fault)
    assert target["message"]
    assert target["hint"]
    assert (target["checks"], document["verdicts"], document["outcomes"]) == ([], {}, {})
    assert not site.state.exists()
    applied = site("apply", "--yes")
    assert applied.returncode == 4
    assert f"! {fault}" in applied.stdout
    assert target["hint"].split()[0] in applied.stdout
    assert site.rows("SELECT fault FROM target") == [(fault,)]
    for table in ("incident", "attempt", "outcome", "observation"):
        assert site.rows(f"SELECT count(*) FROM {table}") == [(0,)]  # noqa: S608 - names from the line above
    assert site("status").returncode == 4
