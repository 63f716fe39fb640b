"""Every alert channel against a real receiver on loopback."""

from __future__ import annotations

import json
import re
import socket
import threading
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.alert_channels.smtp import SmtpChannel
from compliance_agent.adapters.alert_channels.syslog import SyslogChannel, syslog_message
from compliance_agent.adapters.alert_channels.webhook import BODY_MAX_BYTES, WebhookChannel
from compliance_agent.adapters.http_line import retry_after_s
from compliance_agent.adapters.store import AlertState, QueuedAlert
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.errors import DeliveryError
from compliance_agent.testing import NOON, FakeChannel
from tests.support.receivers import Mail, Web, dripping_server, make_certificate
from tests.support.state import an_alert

if TYPE_CHECKING:
    from compliance_agent.adapters.alert_channels import Channel

QUEUED = QueuedAlert("0b6cb1a7-0000-8000-8000-000000000001", an_alert(), AlertState.PENDING, 1, NOON)


def secret_file(tmp_path, content: str, mode: int = 0o600) -> str:
    path = tmp_path / "secret"
    path.write_text(content)
    path.chmod(mode)
    return str(path)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def refusal(channel: Channel, queued: QueuedAlert = QUEUED) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        channel.deliver(queued)
    return caught.value


# --- all channels


@pytest.fixture(params=["webhook", "smtp", "syslog", "fake"])
def reachable(request, tmp_path):
    """A channel of each kind with somebody who listens."""
    with ExitStack() as stack:
        if request.param == "webhook":
            yield WebhookChannel(f"http://127.0.0.1:{stack.enter_context(Web().serve()).port}/")
        elif request.param == "smtp":
            yield SmtpChannel("127.0.0.1", "a@x", ("b@x",), stack.enter_context(Mail().serve()).port, starttls=False)
        elif request.param == "syslog":
            stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)).bind(str(tmp_path / "log"))
            yield SyslogChannel(str(tmp_path / "log"))
        else:
            yield FakeChannel()


def test_a_channel_that_took_the_alert_returns(reachable) -> None:
    reachable.deliver(QUEUED)


def test_a_delivery_leaves_no_thread_behind(reachable) -> None:
    reachable.deliver(QUEUED)
    assert "delivery-deadline" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("kind", ["webhook", "smtp", "syslog", "fake"])
def test_a_channel_whose_receiver_is_gone_says_that_a_later_try_may_help(kind, tmp_path) -> None:
    port = free_port()
    channels: dict[str, Channel] = {
        "webhook": WebhookChannel(f"http://127.0.0.1:{port}/"),
        "smtp": SmtpChannel("127.0.0.1", "a@x", ("b@x",), port),
        "syslog": SyslogChannel(str(tmp_path / "nobody")),
        "fake": FakeChannel("fake", DeliveryError("gone", retryable=True)),
    }
    assert refusal(channels[kind]).retryable


def test_names_differ_so_that_tries_are_counted_apart() -> None:
    names = {WebhookChannel("https://x/").name, SmtpChannel("x", "a@x", ("b@x",)).name, SyslogChannel().name}
    assert names == {"webhook", "smtp", "syslog"}


# --- webhook


def test_a_webhook_gets_the_alert_as_json_with_its_id(tmp_path) -> None:
    with Web().serve() as web:
        WebhookChannel(f"http://127.0.0.1:{web.port}/hook").deliver(QUEUED)
    path, headers, body = web.requests[0]
    assert (path, headers["Idempotency-Key"]) == ("/hook", QUEUED.alert_id)
    assert json.loads(body) == {
        "schema": "alert/v1",
        "alert_id": QUEUED.alert_id,
        "kind": "alerted",
        "name": "ssh_root_login",
        "summary": "root may log in on srv01",
        "raised_at": "2026-01-15T12:00:00+00:00",
        "raised_count": 1,
        "details": {"target_id": "srv01"},
    }


def test_a_webhook_without_token_sends_no_authorization() -> None:
    with Web().serve() as web:
        WebhookChannel(f"http://127.0.0.1:{web.port}/").deliver(QUEUED)
    assert "Authorization" not in web.requests[0][1]


def test_the_token_is_read_at_each_delivery(tmp_path) -> None:
    with Web().serve() as web:
        channel = WebhookChannel(f"http://127.0.0.1:{web.port}/", token_file=secret_file(tmp_path, "first\n"))
        channel.deliver(QUEUED)
        secret_file(tmp_path, "second\n")
        channel.deliver(QUEUED)
    assert [request[1]["Authorization"] for request in web.requests] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        pytest.param("secret-token", 0o644, id="open to everybody"),
        pytest.param("", 0o600, id="empty"),
        pytest.param("secret-token\nsecond line", 0o600, id="two lines"),
        pytest.param("secret-token with space", 0o600, id="no token"),
        pytest.param("secret-token\x7f", 0o600, id="a control character"),
    ],
)
def test_a_token_file_that_is_not_right_is_told_without_the_token(tmp_path, content, mode) -> None:
    error = refusal(WebhookChannel("https://localhost:1/", token_file=secret_file(tmp_path, content, mode)))
    assert error.retryable
    assert "secret-token" not in str(error)


def test_a_proxy_or_login_in_the_environment_is_not_used(monkeypatch, tmp_path) -> None:
    (tmp_path / "netrc").write_text("default login u password p\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with Web().serve() as web:
        WebhookChannel(f"http://127.0.0.1:{web.port}/").deliver(QUEUED)
    assert "Authorization" not in web.requests[0][1]


def test_a_webhook_whose_certificate_is_trusted_gets_the_alert(tmp_path) -> None:
    ca_file, context = make_certificate(tmp_path, "right")
    with Web().serve(context) as web:
        WebhookChannel(f"https://localhost:{web.port}/", ca_file=str(ca_file)).deliver(QUEUED)
    assert len(web.requests) == 1


@pytest.mark.parametrize("trusted", ["another authority", "the well-known ones"])
def test_a_webhook_whose_certificate_is_not_trusted_gets_nothing(tmp_path, trusted) -> None:
    _, context = make_certificate(tmp_path, "right")
    wrong, _ = make_certificate(tmp_path, "wrong")
    with Web().serve(context) as web:
        ca_file = str(wrong) if trusted == "another authority" else None
        error = refusal(WebhookChannel(f"https://localhost:{web.port}/", ca_file=ca_file))
    assert "TLS" in error.message
    assert web.requests == []


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_an_answer_that_may_change_is_tried_again(status) -> None:
    with Web(status).serve() as web:
        assert refusal(WebhookChannel(f"http://127.0.0.1:{web.port}/")).retryable


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 422])
def test_an_answer_that_will_not_change_is_not_tried_again(status) -> None:
    with Web(status, body=b"no such hook").serve() as web:
        error = refusal(WebhookChannel(f"http://127.0.0.1:{web.port}/"))
    assert not error.retryable
    assert error.message == f"webhook: answered {status}: no such hook"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(status) -> None:
    with Web(status).serve() as web:
        web.headers["Location"] = f"http://127.0.0.1:{web.port}/elsewhere"
        error = refusal(WebhookChannel(f"http://127.0.0.1:{web.port}/"))
    assert not error.retryable
    assert [request[0] for request in web.requests] == ["/"]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "999999999"}, 86_400.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "1e999"}, None),
        ({"Retry-After": "9" * 5_000}, 86_400.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "1_000"}, None),
        ({"Retry-After": "\u0663"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "Thu, 99 Jan 2026 12:02:00 GMT", "Date": "Thu, 15 Jan 2026 12:00:00 GMT"}, None),
        ({"Retry-After": "Thu, 15 Jan 2026 12:02:00 -0000", "Date": "Thu, 15 Jan 2026 12:00:00 GMT"}, None),
        ({"Retry-After": "Thu, 15 Jan 2026 12:02:00 GMT", "Date": "Thu, 15 Jan 2026 12:00:00 GMT"}, 120.0),
        ({"Retry-After": "Thu, 15 Jan 2026 11:00:00 GMT", "Date": "Thu, 15 Jan 2026 12:00:00 GMT"}, 0.0),
        ({"Retry-After": "Thu, 15 Jan 2026 12:02:00 GMT"}, None),
    ],
)
def test_retry_after_is_understood_in_both_its_forms(headers, seconds) -> None:
    assert retry_after_s(headers) == seconds


def test_the_receivers_wish_when_to_come_again_is_passed_on() -> None:
    with Web(429, {"Retry-After": "77"}).serve() as web:
        error = refusal(WebhookChannel(f"http://127.0.0.1:{web.port}/"))
    assert getattr(error, "retry_after_s", None) == 77.0


def test_an_answer_without_end_is_cut() -> None:
    with Web(400, body=b"x" * 1_000_000).serve() as web:
        assert len(str(refusal(WebhookChannel(f"http://127.0.0.1:{web.port}/")))) < 500


def test_a_receiver_that_drips_its_answer_is_left_at_the_deadline() -> None:
    with dripping_server(b"HTTP/1.1 200 OK\r\nX: ") as port:
        error = refusal(WebhookChannel(f"http://127.0.0.1:{port}/", deadline_s=0.3))
    assert "no answer within 0.3 s" in error.message
    assert error.retryable


def test_an_alert_that_is_too_large_is_not_sent() -> None:
    large = replace(QUEUED, alert=an_alert(document={"text": "x" * BODY_MAX_BYTES}))
    with Web().serve() as web:
        assert not refusal(WebhookChannel(f"http://127.0.0.1:{web.port}/"), large).retryable
    assert web.requests == []


@pytest.mark.parametrize("url", ["http://alerts.example.org/", "ftp://localhost/", "localhost", "", "https:///x"])
def test_a_url_that_would_travel_in_clear_text_is_refused(url) -> None:
    with pytest.raises(ValueError, match="https"):
        WebhookChannel(url)


# --- mail


def mail_to(mail: Mail, ca_file: object, **options) -> SmtpChannel:
    options = {"port": mail.port, "ca_file": str(ca_file), **options}
    return SmtpChannel("localhost", "agent@clinic.example", ("it@msp.example",), **options)


def test_a_mail_travels_encrypted_and_says_what_is_wrong(tmp_path) -> None:
    ca_file, context = make_certificate(tmp_path, "right")
    with Mail().serve(context) as mail:
        mail_to(mail, ca_file).deliver(QUEUED)
    assert mail.encrypted
    assert "Subject: [compliance-agent] alerted ssh_root_login: root may log in on srv01" in mail.message
    assert f"Message-ID: <{QUEUED.alert_id}@" in mail.message
    assert "target_id: srv01" in mail.message
    assert "RCPT TO:<it@msp.example>" in " ".join(mail.commands)


def test_a_login_is_made_after_encryption_only(tmp_path) -> None:
    ca_file, context = make_certificate(tmp_path, "right")
    with Mail().serve(context) as mail:
        mail_to(mail, ca_file, user="agent", password_file=secret_file(tmp_path, "pw\n")).deliver(QUEUED)
    words = [command.split()[0] for command in mail.commands]
    assert words.index("STARTTLS") < words.index("AUTH")


def test_a_mail_server_whose_certificate_is_not_trusted_gets_nothing(tmp_path) -> None:
    _, context = make_certificate(tmp_path, "right")
    wrong, _ = make_certificate(tmp_path, "wrong")
    with Mail().serve(context) as mail:
        error = refusal(mail_to(mail, wrong))
    assert "certificate" in error.message.lower()
    assert mail.message == ""


def test_a_mail_server_without_encryption_gets_nothing(tmp_path) -> None:
    ca_file, _ = make_certificate(tmp_path, "right")
    with Mail().serve() as mail:
        error = refusal(mail_to(mail, ca_file))
    assert "STARTTLS" in error.message
    assert mail.message == ""


@pytest.mark.parametrize(
    ("command", "answer", "retryable"),
    [
        ("MAIL", "451 try later", True),
        ("MAIL", "550 go away", False),
        ("RCPT", "450 mailbox busy", True),
        ("RCPT", "550 no such user", False),
        (".", "452 disk full", True),
        (".", "554 spam", False),
    ],
)
def test_a_mail_servers_no_is_final_when_it_says_so(command, answer, retryable) -> None:
    with Mail({command: answer}).serve() as mail:
        error = refusal(SmtpChannel("127.0.0.1", "a@x", ("b@x",), mail.port, starttls=False))
    assert error.retryable is retryable


def test_a_mail_that_one_recipient_did_not_get_is_not_delivered() -> None:
    with Mail({"RCPT TO:<c@x>": "550 no such user"}).serve() as mail:
        error = refusal(SmtpChannel("127.0.0.1", "a@x", ("b@x", "c@x"), mail.port, starttls=False))
    assert "c@x" in error.message


def test_a_mail_server_that_is_not_ready_is_tried_again() -> None:
    with Mail(greeting="421 too busy").serve() as mail:
        assert refusal(SmtpChannel("127.0.0.1", "a@x", ("b@x",), mail.port, starttls=False)).retryable


def test_a_mail_server_that_drips_its_greeting_is_left_at_the_deadline() -> None:
    with dripping_server(b"220-") as port:
        error = refusal(SmtpChannel("127.0.0.1", "a@x", ("b@x",), port, deadline_s=0.3))
    assert "not sent within 0.3 s" in error.message


def test_a_summary_with_a_line_break_does_not_break_the_mail() -> None:
    nasty = replace(QUEUED, alert=replace(an_alert(), summary="one\r\nBcc: all@x\r\n\r\n.\r\nQUIT"))
    with Mail().serve() as mail:
        SmtpChannel("127.0.0.1", "a@x", ("b@x",), mail.port, starttls=False).deliver(nasty)
    head, _, _ = mail.message.partition("\r\n\r\n")
    assert re.findall(r"(?m)^(?!\s)([\w-]+):", head).count("Bcc") == 0
    assert mail.commands[-1] == "QUIT"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"user": "u"}, id="a login without password file"),
        pytest.param({"user": "u", "password_file": "p", "starttls": False}, id="a login in clear text"),
        pytest.param({"recipients": ()}, id="nobody to send to"),
        pytest.param({"sender": "a@x\nBcc: b@x"}, id="a line break in an address"),
    ],
)
def test_mail_settings_that_cannot_be_right_are_refused(options) -> None:
    with pytest.raises(ValueError, match=r"mail"):
        SmtpChannel(**{"host": "mail.example", "sender": "a@x", "recipients": ("b@x",), **options})


# --- syslog

RFC_5424 = re.compile(
    rb"<(\d+)>1 2026-01-15T12:00:00\.000000Z host compliance-agent \d+ ALERT "
    rb'\[alert@32473 id="0b6cb1a7-0000-8000-8000-000000000001" kind="(\w+)" name="ssh_root_login"\] (.*)'
)


def test_this_machines_collector_gets_a_message_of_rfc_5424(tmp_path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as collector:
        collector.bind(str(tmp_path / "log"))
        SyslogChannel(str(tmp_path / "log"), hostname="host").deliver(QUEUED)
        found = RFC_5424.fullmatch(collector.recv(4096))
    assert found is not None
    assert found.groups() == (b"28", b"alerted", b"alerted ssh_root_login: root may log in on srv01")


def test_another_collector_gets_the_same_by_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(10)
        SyslogChannel(host="127.0.0.1", port=collector.getsockname()[1], hostname="host").deliver(QUEUED)
        assert RFC_5424.fullmatch(collector.recv(4096))


def test_by_tcp_the_message_is_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        port = listener.getsockname()[1]
        SyslogChannel(host="127.0.0.1", port=port, protocol="tcp", hostname="host").deliver(QUEUED)
        client, _ = listener.accept()
        with client, client.makefile("rb") as stream:
            length, _, message = stream.read().partition(b" ")
    assert int(length) == len(message)
    assert RFC_5424.fullmatch(message)


@pytest.mark.parametrize(("kind", "facility", "number"), [("ESCALATED", "authpriv", 83), ("ALERTED", "local7", 188)])
def test_an_escalation_is_an_error_and_an_alert_a_warning(kind, facility, number) -> None:
    queued = replace(QUEUED, alert=replace(an_alert(), kind=OutcomeKind[kind]))
    assert syslog_message(queued, facility=facility, hostname="host").startswith(b"<%d>1 " % number)


def test_text_cannot_forge_a_second_message_or_field() -> None:
    alert = replace(an_alert(), name='a"] [x y="z\\', summary="one\n<0>1 two", raised_at=NOON + timedelta(seconds=1))
    message = syslog_message(replace(QUEUED, alert=alert), facility="daemon", hostname="a b\nc").decode()
    assert "\n" not in message
    assert r'name="a\"\] [x y=\"z\\"] ' in message
    assert " abc compliance-agent " in message


def test_a_long_message_is_cut_between_letters() -> None:
    alert = replace(an_alert(), summary="ä" * 5_000)
    message = syslog_message(replace(QUEUED, alert=alert), facility="daemon", hostname="h")
    assert len(message) <= 2_048
    assert message.decode().endswith("ä")


def test_an_unknown_facility_is_refused() -> None:
    with pytest.raises(ValueError, match="facility"):
        SyslogChannel(facility="mail2")
