"""This machine's own transport leaves nothing behind that it did not mean to."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.transports.local import LocalTransport
from compliance_agent.domain.target import Become, Target
from compliance_agent.errors import CredentialError

if TYPE_CHECKING:
    from compliance_agent.engine.ports import RunResult

_TARGET = Target("t", "site")


def _run(script: str, timeout_s: float = 60) -> RunResult:
    with LocalTransport().open(_TARGET) as session:
        return session.run(script, timeout_s=timeout_s, output_max_bytes=65_536)


def _gone(pid: int) -> bool:
    for _ in range(500):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_the_deadline_ends_the_whole_group_even_if_it_will_not_listen(trap: str) -> None:
    result = _run(f"{trap}sleep 300 & echo $!; sleep 300", timeout_s=1)
    assert result.timed_out
    assert _gone(int(result.stdout))


def test_the_last_words_after_the_deadline_are_kept() -> None:
    result = _run("trap 'echo bye; exit' TERM; echo on; while :; do sleep 0.1; done", timeout_s=1)
    assert (result.stdout, result.timed_out, result.exit_code) == (b"on\nbye\n", True, None)


def test_a_hundred_runs_leave_no_descriptor_and_no_child() -> None:
    _run("exit 0")
    descriptors = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- names are all that is asked
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = children.read_text().split()  # other tests of this process may have some
    for _ in range(100):
        _run("echo x; echo y >&2; exit 1")
    assert set(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208 -- as above
    assert children.read_text().split() == before


def test_the_agents_own_environment_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/agent")
    names = {line.partition("=")[0] for line in _run("exec env").stdout.decode().splitlines()}
    assert names <= {"PATH", "HOME", "USER", "LOGNAME", "PWD", "OLDPWD", "SHLVL", "_"}


def test_a_script_that_closes_its_streams_is_still_waited_for() -> None:
    result = _run("exec <&- >&- 2>&-; sleep 0.3; exit 9")
    assert (result.exit_code, result.timed_out) == (9, False)


def test_a_missing_sudo_password_file_is_told_before_anything_runs() -> None:
    target = Target("t", "site", become=Become.SUDO, become_password_file="/nonexistent/password")
    with pytest.raises(CredentialError, match="sudo password file /nonexistent/password does not exist"):
        LocalTransport().open(target)
