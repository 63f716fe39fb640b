"""What ``engine.ports.Transport`` promises, held by the fake, this machine, a real SSH server, and WinRM."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.local import LocalTransport
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.adapters.transports.winrm import WinRmOptions, WinRmTransport
from compliance_agent.domain.target import Target
from compliance_agent.errors import TransportError, TransportFault
from compliance_agent.testing import FakeAnswer, FakeTransport
from tests.support.sshd import start_sshd
from tests.support.wsman_server import start_wsman

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compliance_agent.engine.ports import RunResult, Session, Transport

_MEGABYTE = 1_000_000


class Bench:
    """A transport, a target for it, and the sessions that a test opened."""

    def __init__(self, transport: Transport, target: Target, stack: ExitStack) -> None:
        self._transport = transport
        self._target = target
        self._stack = stack

    def session(self, answer: FakeAnswer | None = None, *, fresh: bool = False) -> Session:
        """Open a session; ``answer`` is what the fake does, where the others really run the script."""
        if isinstance(self._transport, FakeTransport):
            self._transport.answer = lambda _target, _script: answer or FakeAnswer()
        return self._stack.enter_context(self._transport.open(self._target, fresh=fresh))

    def run(self, script: str, answer: FakeAnswer, *, timeout_s: float = 60, cap: int = 65_536) -> RunResult:
        return self.session(answer).run(script, timeout_s=timeout_s, output_max_bytes=cap)


@pytest.fixture(params=["fake", "local", "ssh", "ssh, kept", "winrm"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    local = Target("t", "site")
    with ExitStack() as stack:
        if request.param == "fake":
            yield Bench(FakeTransport(), local, stack)
        elif request.param == "local":
            yield Bench(LocalTransport(), local, stack)
        elif request.param == "winrm":
            wsman = stack.enter_context(start_wsman(tmp_path_factory.mktemp("wsman")))
            yield Bench(WinRmTransport(WinRmOptions(), CredentialReader()), wsman.target(), stack)
        else:
            server = stack.enter_context(start_sshd(tmp_path_factory.mktemp("sshd")))
            options = SshOptions(idle_limit_s=60 if request.param == "ssh, kept" else 0)
            transport = SshTransport(options, KnownHosts.load([server.known_hosts]), CredentialReader())
            stack.callback(transport.close)
            if request.param == "ssh, kept":
                transport.open(server.target()).close()
            yield Bench(transport, server.target(), stack)


def test_streams_and_exit_code_arrive_apart(bench: Bench) -> None:
    result = bench.run("echo out; echo err >&2; exit 3", FakeAnswer(b"out\n", b"err\n", 3))
    assert (result.stdout, result.stderr, result.exit_code) == (b"out\n", b"err\n", 3)
    assert not result.truncated
    assert not result.timed_out


@pytest.mark.parametrize("code", [0, 1, 255])
def test_an_exit_code_is_kept_as_it_is(bench: Bench, code: int) -> None:
    assert bench.run(f"exit {code}", FakeAnswer(exit_code=code)).exit_code == code


def test_a_shell_that_a_signal_ended_has_no_exit_code(bench: Bench) -> None:
    result = bench.run("kill -KILL $$", FakeAnswer(exit_code=None))
    assert result.exit_code is None
    assert not result.timed_out


def test_ten_megabytes_on_both_streams_arrive_whole(bench: Bench) -> None:
    script = "head -c 10000000 /dev/zero; head -c 10000000 /dev/zero >&2"
    result = bench.run(script, FakeAnswer(bytes(10 * _MEGABYTE), bytes(10 * _MEGABYTE)), cap=10 * _MEGABYTE)
    assert (len(result.stdout), len(result.stderr), result.truncated) == (10 * _MEGABYTE, 10 * _MEGABYTE, False)


@pytest.mark.parametrize(("size", "truncated"), [(999, False), (1000, False), (1001, True)])
@pytest.mark.parametrize("redirect", ["", " >&2"])
def test_output_beyond_the_limit_is_cut_and_marked(bench: Bench, size: int, truncated: bool, redirect: str) -> None:
    text = b"x" * size
    answer = FakeAnswer(stderr=text) if redirect else FakeAnswer(stdout=text)
    result = bench.run(f"printf '%0{size}d' 0 | tr 0 x{redirect}", answer, cap=1000)
    assert result.stdout + result.stderr == text[:1000]
    assert result.truncated is truncated


def test_output_far_beyond_the_limit_is_read_to_its_end(bench: Bench) -> None:
    result = bench.run("head -c 5000000 /dev/zero; exit 4", FakeAnswer(bytes(5 * _MEGABYTE), b"", 4), cap=10)
    assert (result.stdout, result.exit_code, result.truncated) == (bytes(10), 4, True)


def test_a_deadline_is_no_error_and_keeps_what_had_arrived(bench: Bench) -> None:
    result = bench.run("echo part; exec sleep 300", FakeAnswer(b"part\n", takes_s=300), timeout_s=1)
    assert (result.stdout, result.exit_code, result.timed_out) == (b"part\n", None, True)


def test_every_byte_that_arrives_does_not_push_the_deadline_back(bench: Bench) -> None:
    script = "while :; do echo x; sleep 0.2; done"
    result = bench.run(script, FakeAnswer(b"x\n" * 5, takes_s=300), timeout_s=1)
    assert result.timed_out
    assert result.stdout.startswith(b"x\n")


def test_a_session_survives_a_script_that_ran_out_of_time(bench: Bench) -> None:
    session = bench.session(FakeAnswer(b"on\n"))
    session.run("exec sleep 300", timeout_s=0.5, output_max_bytes=100)
    assert session.run("echo on", timeout_s=60, output_max_bytes=100).stdout == b"on\n"


def test_a_process_left_behind_with_the_streams_open_does_not_hold_the_session(bench: Bench) -> None:
    result = bench.run("sleep 20 & echo $!", FakeAnswer(b"4711\n"))
    assert result.stdout.strip().isdigit()
    assert (result.exit_code, result.timed_out) == (0, False)


def test_bytes_are_not_touched(bench: Bench) -> None:
    every_byte = bytes(range(256))
    script = "".join(f"printf '\\{number:03o}'\n" for number in range(256))
    assert bench.run(script, FakeAnswer(every_byte)).stdout == every_byte


def test_a_script_of_a_megabyte_runs_to_its_last_line(bench: Bench) -> None:
    script = f"{'# ' + 'x' * 97}\n" * 10_000 + "echo end\n"
    assert bench.run(script, FakeAnswer(b"end\n")).stdout == b"end\n"


def test_a_script_that_ends_before_it_is_read_keeps_its_exit_code(bench: Bench) -> None:
    script = "exit 6\n" + f"{'# ' + 'x' * 97}\n" * 40_000
    assert bench.run(script, FakeAnswer(exit_code=6)).exit_code == 6


def test_a_script_that_prints_before_it_is_read_whole_does_not_block(bench: Bench) -> None:
    script = "head -c 10000000 /dev/zero\n" + f"{'# ' + 'x' * 97}\n" * 40_000 + "echo end\n"
    result = bench.run(script, FakeAnswer(bytes(10 * _MEGABYTE) + b"end\n"), cap=20 * _MEGABYTE)
    assert result.stdout[10 * _MEGABYTE :] == b"end\n"


def test_each_run_is_a_new_shell(bench: Bench) -> None:
    session = bench.session(FakeAnswer(b"unset\n"))
    session.run("LEFT=over; export LEFT", timeout_s=60, output_max_bytes=100)
    assert session.run("echo ${LEFT-unset}", timeout_s=60, output_max_bytes=100).stdout == b"unset\n"


def test_two_sessions_do_not_disturb_each_other(bench: Bench) -> None:
    first, second = bench.session(FakeAnswer(b"x\n")), bench.session(FakeAnswer(b"x\n"))
    first.close()
    assert second.run("echo x", timeout_s=60, output_max_bytes=100).stdout == b"x\n"


def test_closing_twice_is_allowed(bench: Bench) -> None:
    session = bench.session()
    session.close()
    session.close()


def test_a_closed_session_says_so(bench: Bench) -> None:
    session = bench.session()
    session.close()
    with pytest.raises(TransportError) as caught:
        session.run("echo x", timeout_s=60, output_max_bytes=100)
    assert caught.value.fault is TransportFault.CLOSED
    assert not caught.value.retryable


def test_closing_from_another_thread_ends_a_run(bench: Bench) -> None:
    session = bench.session(FakeAnswer(blocks=True))
    faults: list[TransportError] = []

    def run() -> None:
        with pytest.raises(TransportError) as caught:
            session.run("exec sleep 300", timeout_s=200, output_max_bytes=100)
        faults.append(caught.value)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.5)
    session.close()
    thread.join(60)
    assert [fault.fault for fault in faults] == [TransportFault.CLOSED]


def test_many_threads_share_one_transport(bench: Bench) -> None:
    answers: list[bytes] = []

    def run() -> None:
        answers.append(bench.run("echo x", FakeAnswer(b"x\n")).stdout)

    threads = [threading.Thread(target=run) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert answers == [b"x\n"] * 10


def test_a_session_that_logs_in_anew_goes_on_with_nothing(bench: Bench) -> None:
    assert not bench.session(fresh=True).kept
