"""Root by sudo on a real machine: with and without a password, refused, and never with the password in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.credentials import CredentialReader, Secret
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.elevation import Launch, finish, prepare
from compliance_agent.adapters.transports.local import LocalTransport
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.domain.target import Become, Target
from compliance_agent.engine.ports import RunResult
from compliance_agent.errors import TransportError, TransportFault
from tests.support.overlay import CLERK_PASSWORD, overlay_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.overlay import OverlayMachine


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverlayMachine]:
    with overlay_machine(tmp_path_factory.mktemp("overlay")) as running:
        yield running


@pytest.fixture
def password_file(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "password"
        path.touch(0o600)
        path.write_text(text)
        return str(path)

    return write


def _transport(machine: OverlayMachine) -> SshTransport:
    return SshTransport(SshOptions(), KnownHosts.load([machine.known_hosts]), CredentialReader())


def _run(machine: OverlayMachine, target: Target, script: str) -> RunResult:
    with _transport(machine).open(target) as session:
        return session.run(script, timeout_s=60, output_max_bytes=1_000_000)


@pytest.mark.root
@pytest.mark.needs("sudo", "sshd")
@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("root", None),
        ("root", CLERK_PASSWORD),
        ("operator", None),
        ("operator", CLERK_PASSWORD),
        ("clerk", CLERK_PASSWORD),
    ],
)
def test_the_script_runs_as_root_and_prints_only_its_own(
    machine: OverlayMachine, password_file: Callable[[str], str], user: str, password: str | None
) -> None:
    path = password_file(password) if password else None
    target = machine.target(user=user, become=Become.SUDO, become_password_file=path)
    result = _run(machine, target, "id -u; echo err >&2; exit 7")
    assert (result.stdout, result.stderr, result.exit_code) == (b"0\n", b"err\n", 7)


@pytest.mark.root
@pytest.mark.needs("sudo", "sshd")
@pytest.mark.parametrize("user", ["root", "operator", "clerk", "guest"])
def test_the_password_is_never_run_as_a_command(
    machine: OverlayMachine, password_file: Callable[[str], str], user: str
) -> None:
    path = password_file("touch /executed")
    target = machine.target(user=user, become=Become.SUDO, become_password_file=path)
    if user in {"clerk", "guest"}:
        with pytest.raises(TransportError):
            _run(machine, target, "id -u")
    else:
        assert _run(machine, target, "id -u").stderr == b""
    assert machine.run("test -e /executed || test -e ~operator/executed").returncode == 1


@pytest.mark.root
@pytest.mark.needs("sudo", "sshd")
def test_the_password_is_in_no_argument_list_and_no_environment(
    machine: OverlayMachine, password_file: Callable[[str], str]
) -> None:
    path = password_file(CLERK_PASSWORD)
    target = machine.target(user="clerk", become=Become.SUDO, become_password_file=path)
    processes = _run(machine, target, "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'").stdout
    assert b"sudo" in processes
    assert CLERK_PASSWORD.encode() not in processes
    assert CLERK_PASSWORD not in (machine.folder / "sshd.log").read_text()


@pytest.mark.root
@pytest.mark.needs("sudo", "sshd")
@pytest.mark.parametrize(
    ("user", "password", "hint"),
    [
        ("clerk", None, "set become_password_file"),
        ("guest", None, "set become_password_file"),
        ("clerk", "wrong", "it was tried once"),
        ("guest", CLERK_PASSWORD, "it was tried once"),
    ],
)
def test_a_refusal_by_sudo_is_a_refused_login_and_nothing_is_run(
    machine: OverlayMachine, password_file: Callable[[str], str], user: str, password: str | None, hint: str
) -> None:
    path = password_file(password) if password else None
    target = machine.target(user=user, become=Become.SUDO, become_password_file=path)
    machine.mark()
    with pytest.raises(TransportError, match="sudo gave no root on") as caught:
        _run(machine, target, "touch /tmp/ran")
    assert (caught.value.fault, caught.value.retryable) == (TransportFault.AUTH_FAILED, False)
    assert hint in caught.value.hint
    assert password is None or password not in caught.value.message.partition(":")[2]
    assert "/tmp/ran" not in machine.changed_files()


@pytest.mark.root
@pytest.mark.needs("sudo", "sshd")
def test_a_wrong_sudo_password_is_tried_once(machine: OverlayMachine, password_file: Callable[[str], str]) -> None:
    target = machine.target(user="clerk", become=Become.SUDO, become_password_file=password_file("wrong"))
    with pytest.raises(TransportError, match="1 incorrect password attempt"):
        _run(machine, target, "id\nid\nid\n")


@pytest.mark.root
@pytest.mark.needs("sshd")
def test_a_login_password_works_and_a_wrong_one_is_tried_once(
    machine: OverlayMachine, password_file: Callable[[str], str]
) -> None:
    target = machine.target(user="clerk", identity_file=None, password_file=password_file(CLERK_PASSWORD))
    assert _run(machine, target, "id -un").stdout == b"clerk\n"
    before = (machine.folder / "sshd.log").read_text().count("Failed password for clerk")
    password_file("wrong")
    with pytest.raises(TransportError, match="refused the login of clerk") as caught:
        _run(machine, target, "id -un")
    assert caught.value.fault is TransportFault.AUTH_FAILED
    assert (machine.folder / "sshd.log").read_text().count("Failed password for clerk") == before + 1


@pytest.mark.root
def test_root_needs_no_sudo_on_this_machine() -> None:
    with LocalTransport().open(Target("t", "site", become=Become.SUDO)) as session:
        result = session.run("id -u; exit 3", timeout_s=60, output_max_bytes=100)
    assert (result.stdout, result.exit_code) == (b"0\n", 3)


def _raw(stdout: bytes, *, timed_out: bool = False) -> RunResult:
    return RunResult(
        1, stdout, b"a lecture\nsudo: no tty\x07 for s3cret\n", truncated=False, timed_out=timed_out, duration_s=1
    )


_TARGET = Target("t", "site", become=Become.SUDO, become_password_file="/the/file")
_LAUNCH = Launch("", b"", b"M")


def test_what_a_login_file_prints_is_not_the_scripts_output() -> None:
    assert finish(_raw(b"Welcome!\nM\nown\n"), _LAUNCH, _TARGET, None, output_max_bytes=100).stdout == b"own\n"


def test_a_refusal_shows_what_sudo_said_but_never_the_password() -> None:
    with pytest.raises(TransportError) as caught:
        finish(_raw(b"own"), _LAUNCH, _TARGET, Secret("s3cret"), output_max_bytes=100)
    assert "sudo: no tty? for ***" in caught.value.message
    assert "s3cret" not in repr(caught.value) + str(caught.value)


def test_a_deadline_before_root_was_reached_is_a_deadline() -> None:
    result = finish(_raw(b"noise", timed_out=True), _LAUNCH, _TARGET, None, output_max_bytes=100)
    assert (result.stdout, result.timed_out) == (b"", True)


def test_neither_script_nor_password_stand_in_the_command_or_the_repr() -> None:
    launch = prepare("the script", become=Become.SUDO, password=Secret("s3cret"), timeout_s=1)
    assert b"the script" in launch.stdin
    for text in ("the script", "s3cret"):
        assert text not in launch.command + repr(launch)


@pytest.mark.parametrize("password", [None, Secret("x")])
@pytest.mark.parametrize("become", list(Become))
def test_the_command_survives_any_login_shell(become: Become, password: Secret | None) -> None:
    command = prepare("", become=become, password=password, timeout_s=1).command
    assert command.count("'") == 2
    assert "!" not in command
    assert "\n" not in command
