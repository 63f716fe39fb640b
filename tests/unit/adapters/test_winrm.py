"""WinRM against a WS-Management server: what is asked, what is refused, and what becomes of each thing that breaks."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.transports.winrm import WinRmOptions, WinRmTransport
from compliance_agent.domain.target import WinRmLogin
from compliance_agent.errors import CredentialError, TransportError, TransportFault
from tests.support.wsman_server import PASSWORD, TIMED_OUT, USER, DropError, FaultError, fault, start_wsman

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from compliance_agent.domain.target import Target
    from compliance_agent.engine.ports import RunResult
    from tests.support.wsman_server import WsmanServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WsmanServer]:
    with start_wsman(tmp_path) as wsman:
        yield wsman


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[WsmanServer]:
    with start_wsman(tmp_path, tls=True) as wsman:
        yield wsman


def transport(**options: Any) -> WinRmTransport:
    return WinRmTransport(WinRmOptions(**options), CredentialReader())


def run(target: Target, script: str = "echo out", *, timeout_s: float = 60, **options: Any) -> RunResult:
    with transport(**options).open(target) as session:
        return session.run(script, timeout_s=timeout_s, output_max_bytes=2_000_000)


def fault_of(target: Target, script: str = "echo out", **options: Any) -> TransportError:
    with pytest.raises(TransportError) as caught:
        run(target, script, **options)
    return caught.value


def test_a_session_is_one_login_and_one_shell_that_is_deleted(server: WsmanServer) -> None:
    with transport().open(server.target()) as session:
        for _ in range(2):
            assert session.run("echo out", timeout_s=60, output_max_bytes=100).stdout == b"out\n"
    assert server.logins == [USER]
    assert (server.actions.count("Create"), server.actions.count("Delete"), server.shells) == (1, 1, {})
    assert server.actions.count("Signal") == 2


def test_a_shell_speaks_utf_8_and_reads_no_profile(server: WsmanServer) -> None:
    assert run(server.target(), "printf 'grün'").stdout.decode() == "grün"
    shell, command = server.options
    assert shell == {"WINRS_NOPROFILE": "TRUE", "WINRS_CODEPAGE": "65001"}
    assert command["WINRS_CONSOLEMODE_STDIN"] == "FALSE"


def test_nothing_travels_in_clear_over_http(server: WsmanServer) -> None:
    run(server.target())
    assert server.clear == []
    assert all(header.get("Authorization", "NTLM").startswith("NTLM") for header in server.headers)


def test_an_answer_in_clear_is_refused_where_messages_are_sealed(server: WsmanServer) -> None:
    server.answers_in_clear = True
    error = fault_of(server.target())
    assert (error.fault, "in clear" in error.message) == (TransportFault.PROTOCOL, True)


@pytest.mark.parametrize("kind", ["server", "tls_server"])
def test_a_server_that_wants_basic_never_sees_the_password(kind: str, request: pytest.FixtureRequest) -> None:
    server: WsmanServer = request.getfixturevalue(kind)
    server.offers = ('Basic realm="WSMAN"',)
    assert fault_of(server.target()).fault is TransportFault.AUTH_FAILED
    assert [header for header in server.headers if "Authorization" in header] == []


def test_a_wrong_password_is_tried_once_until_its_file_changes(server: WsmanServer) -> None:
    target = server.target()
    (server.folder / "password").write_text("wrong")
    winrm = transport()
    for _ in range(3):
        with pytest.raises(TransportError) as caught:
            winrm.open(target)
        assert caught.value.fault is TransportFault.AUTH_FAILED
        assert not caught.value.retryable
    assert server.logins == [USER]
    (server.folder / "password").write_text(PASSWORD)
    winrm.open(target).close()
    assert server.logins == [USER, USER]


def test_a_refused_login_is_tried_again_after_an_hour(server: WsmanServer) -> None:
    now = [0.0]
    winrm = WinRmTransport(WinRmOptions(), CredentialReader(), clock=lambda: now[0])
    target = server.target(user="nobody")
    for now[0], logins in ((0.0, 1), (3_599.0, 1), (3_600.0, 2)):
        with pytest.raises(TransportError):
            winrm.open(target)
        assert len(server.logins) == logins


def test_the_machine_beside_a_refused_one_is_logged_in_to(server: WsmanServer) -> None:
    winrm = transport()
    with pytest.raises(TransportError):
        winrm.open(server.target(user="nobody"))
    winrm.open(server.target()).close()


def test_https_with_its_authority_named_binds_the_login_to_the_channel(tls_server: WsmanServer) -> None:
    assert run(tls_server.target()).stdout == b"out\n"


def test_a_pinned_certificate_needs_no_authority(tls_server: WsmanServer) -> None:
    assert run(tls_server.target(ca_file=None, certificate_sha256=tls_server.fingerprint)).stdout == b"out\n"


@pytest.mark.parametrize(
    ("trust", "expected"),
    [
        ({"ca_file": None}, TransportFault.HOST_KEY_UNKNOWN),
        ({"ca_file": None, "certificate_sha256": "0" * 64}, TransportFault.HOST_KEY_CHANGED),
        ({"certificate_sha256": "0" * 64}, TransportFault.HOST_KEY_CHANGED),
    ],
)
def test_a_certificate_that_is_not_trusted_ends_it_before_the_login(
    tls_server: WsmanServer, trust: dict[str, str], expected: TransportFault
) -> None:
    assert fault_of(tls_server.target(**trust)).fault is expected
    assert tls_server.headers == []


def test_a_certificate_made_out_to_another_name_is_not_trusted(tls_server: WsmanServer) -> None:
    assert fault_of(tls_server.target(host="localhost")).fault is TransportFault.HOST_KEY_UNKNOWN


def test_proxies_and_certificates_of_the_environment_do_not_count(
    tls_server: WsmanServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls_server.certificate))
    assert run(tls_server.target()).stdout == b"out\n"
    assert fault_of(tls_server.target(ca_file=None)).fault is TransportFault.HOST_KEY_UNKNOWN


def test_a_used_up_quota_is_told_and_may_pass(server: WsmanServer) -> None:
    server.max_shells = 0
    error = fault_of(server.target())
    assert (error.fault, error.retryable) == (TransportFault.PROTOCOL, True)
    assert "MaxShellsPerUser" in error.hint


def test_an_operation_that_times_out_is_asked_again_until_the_end(server: WsmanServer) -> None:
    result = run(server.target(), "sleep 1.5; echo late; exit 3", operation_timeout_s=1)
    assert (result.stdout, result.exit_code, result.timed_out) == (b"late\n", 3, False)
    assert server.actions.count("Receive") > 1


def test_a_command_that_outlives_its_deadline_is_told_to_end(server: WsmanServer) -> None:
    result = run(server.target(), "exec sleep 300", timeout_s=1)
    assert (result.timed_out, result.exit_code) == (True, None)
    assert server.actions[-2:] == ["Signal", "Delete"]


def drop() -> str | None:
    raise DropError


@pytest.mark.parametrize("action", ["Create", "Command", "Send", "Receive"])
def test_a_dropped_connection_is_told_and_no_shell_is_left(server: WsmanServer, action: str) -> None:
    server.before[action] = drop
    error = fault_of(server.target())
    assert (error.fault, error.retryable) == (TransportFault.CLOSED, True)
    assert server.shells == {}


def test_a_session_whose_connection_was_dropped_takes_no_more(server: WsmanServer) -> None:
    with transport().open(server.target()) as session:
        server.before["Receive"] = drop
        for _ in range(2):
            with pytest.raises(TransportError) as caught:
                session.run("echo out", timeout_s=60, output_max_bytes=100)
            assert caught.value.fault is TransportFault.CLOSED
    assert server.actions.count("Command") == 1


def test_a_megabyte_arrives_whole(tls_server: WsmanServer) -> None:
    result = run(tls_server.target(), "head -c 1000000 /dev/zero | tr '\\0' x")
    assert (len(result.stdout), set(result.stdout), result.truncated) == (1_000_000, {ord("x")}, False)


def test_progress_on_standard_error_is_no_failure(server: WsmanServer) -> None:
    noise = '#< CLIXML\n<Objs Version="1.1.0.1"><Obj S="progress" RefId="0"/></Objs>'
    result = run(server.target(), f"echo out; printf '%s' '{noise}' >&2")
    assert (result.exit_code, result.stdout) == (0, b"out\n")


LAUGHS = (
    '<!DOCTYPE l [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><l>&i;</l>"
)
OUTSIDE = '<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]><l>&x;</l>'


@pytest.mark.parametrize(
    "answer",
    [LAUGHS, OUTSIDE, "", "<a>", "not xml", "<a/>", "\0", "<a>" * 50_000, '<a Name="ShellId"/>'],
    ids=["laughs", "outside", "empty", "open", "text", "bare", "nul", "deep", "no id"],
)
@pytest.mark.parametrize("action", ["Create", "Receive"])
def test_a_hostile_answer_is_a_fault_and_nothing_else(server: WsmanServer, action: str, answer: str) -> None:
    server.before[action] = lambda: answer
    assert fault_of(server.target()).fault is TransportFault.PROTOCOL


def test_an_exit_code_that_is_missing_is_no_success(server: WsmanServer) -> None:
    assert run(server.target(), "kill -KILL $$").exit_code is None


@pytest.mark.parametrize(("code", "expected"), [(5, TransportFault.AUTH_FAILED), (2150858770, TransportFault.PROTOCOL)])
def test_a_fault_of_the_server_is_told_in_its_words(server: WsmanServer, code: int, expected: TransportFault) -> None:
    def refuse() -> str | None:
        raise FaultError(code, "w:AccessDenied", "Access \x9b31mis denied.")

    server.before["Create"] = refuse
    error = fault_of(server.target())
    assert error.fault is expected
    assert "\x9b" not in error.message


def test_a_fault_in_the_shape_of_windows_is_read_by_its_code() -> None:
    assert f'Code="{TIMED_OUT}"' in fault(TIMED_OUT, "w:TimedOut", "x")


def test_closing_from_another_thread_leaves_no_shell(server: WsmanServer) -> None:
    session = transport().open(server.target())
    faults: list[TransportFault] = []
    receiving = threading.Event()
    server.before["Receive"] = receiving.set

    def work() -> None:
        with pytest.raises(TransportError) as caught:
            session.run("exec sleep 300", timeout_s=200, output_max_bytes=100)
        faults.append(caught.value.fault)

    thread = threading.Thread(target=work)
    thread.start()
    assert receiving.wait(30)
    session.close()
    thread.join(30)
    assert (faults, server.shells) == ([TransportFault.CLOSED], {})


def test_nobody_listening_is_refused(server: WsmanServer) -> None:
    assert fault_of(server.target(port=9)).fault is TransportFault.REFUSED


@pytest.mark.parametrize("key", ["host", "user"])
def test_a_target_that_is_not_configured_is_not_contacted(server: WsmanServer, key: str) -> None:
    assert fault_of(server.target(**{key: ""})).fault is TransportFault.NOT_CONFIGURED
    assert server.headers == []


def test_a_target_without_a_password_file_is_not_contacted(server: WsmanServer) -> None:
    with pytest.raises(CredentialError):
        transport().open(server.target(password_file=None))
    assert server.headers == []


def test_kerberos_that_is_not_installed_is_told(server: WsmanServer) -> None:
    error = fault_of(server.target(login=WinRmLogin.KERBEROS))
    assert error.fault is TransportFault.NOT_CONFIGURED
    assert server.headers == []


def test_a_server_that_sends_us_elsewhere_is_not_followed(server: WsmanServer, tmp_path: Path) -> None:
    with start_wsman(tmp_path / "other") as other:
        server.handler.elsewhere = f"http://127.0.0.1:{other.port}/wsman"
        assert fault_of(server.target()).fault is TransportFault.PROTOCOL
        assert other.headers == []
