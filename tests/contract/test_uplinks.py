"""What every way to the control plane promises: the one over HTTP, against a real server, and the fake."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.adapters.control_plane.https import ANSWER_MAX_BYTES, REPORT_PATHS, HttpsUplink
from compliance_agent.domain.outbox import OutboxClass
from compliance_agent.domain.uplink import Answer, EntryAnswer, EntryFate, judge
from compliance_agent.testing import NOON, FakeUplink
from tests.support.receivers import Web, dripping_server, make_certificate
from tests.support.state import an_entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENTRIES = [an_entry(1), an_entry(2, OutboxClass.EVIDENCE, body=b'{"z": 1, "a":[1.50]}')]
IDS = [entry.entry_id for entry in ENTRIES]
TOKEN = "s3cr3t-token-of-the-appliance"


@dataclass
class Plane(Web):
    """A web server that takes batches and drops what it has by id, unless it was told how to answer."""

    told: bool = False
    seen: set[str] = field(default_factory=set)

    def answer_with(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.told, self.status, self.body = True, status, body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(self, content: bytes) -> None:
        if self.told:
            return
        results = []
        for entry in json.loads(content)["entries"]:
            results.append({"id": entry["id"], "status": "duplicate" if entry["id"] in self.seen else "accepted"})
            self.seen.add(entry["id"])
        self.status, self.body = 200, json.dumps({"results": results}).encode()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def plane() -> Iterator[Plane]:
    served = Plane()
    with served.serve():
        yield served


def uplink_to(port: int, token: Path, scheme: str = "http", **options: Any) -> HttpsUplink:
    return HttpsUplink(f"{scheme}://localhost:{port}", str(token), site_id="clinic", appliance_id="a1", **options)


@pytest.fixture(params=["https", "fake"])
def uplink(request, tmp_path, token):
    with ExitStack() as stack:
        if request.param == "fake":
            yield FakeUplink()
        else:
            pem, context = make_certificate(tmp_path, "plane")
            plane = stack.enter_context(Plane().serve(context))
            yield uplink_to(plane.port, token, "https", ca_file=str(pem))


def test_a_batch_is_taken_and_each_entry_is_answered(uplink) -> None:
    answer = uplink.send(ENTRIES, sent_at=NOON)
    assert answer.status == 200
    assert dict(answer.entries) == dict.fromkeys(IDS, EntryAnswer(EntryFate.TAKEN))


def test_what_is_sent_again_is_a_duplicate(uplink) -> None:
    uplink.send(ENTRIES[:1], sent_at=NOON)
    answer = uplink.send(ENTRIES, sent_at=NOON)
    assert [answer.entries[key].fate for key in IDS] == [EntryFate.HAD, EntryFate.TAKEN]


# --- over HTTP


def test_a_batch_is_one_post_with_credential_and_key(plane, token) -> None:
    uplink_to(plane.port, token).send(ENTRIES, sent_at=NOON)
    ((path, headers, content),) = plane.requests
    assert path == "/agent/telemetry"
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Content-Type"] == "application/json"
    assert len(headers["Idempotency-Key"]) == 32
    document = json.loads(content)
    assert (document["schema"], document["site_id"], document["appliance_id"]) == ("report-batch/v1", "clinic", "a1")
    assert [entry["id"] for entry in document["entries"]] == IDS
    assert [entry["kind"] for entry in document["entries"]] == ["telemetry", "evidence"]


@pytest.mark.parametrize("kind", OutboxClass)
def test_each_class_takes_a_route_of_its_own(plane, token, kind) -> None:
    uplink_to(plane.port, token).send([an_entry(1, kind)], sent_at=NOON)
    assert [path for path, _, _ in plane.requests] == [REPORT_PATHS[kind]]
    assert len(set(REPORT_PATHS.values())) == len(OutboxClass)


def test_bodies_travel_byte_for_byte(plane, token) -> None:
    uplink_to(plane.port, token).send(ENTRIES, sent_at=NOON)
    for entry in ENTRIES:
        assert entry.body in plane.requests[0][2]


def test_the_same_entries_have_the_same_key_and_others_another(plane, token) -> None:
    for entries in (ENTRIES, ENTRIES, ENTRIES[:1]):
        uplink_to(plane.port, token).send(entries, sent_at=NOON)
    keys = [headers["Idempotency-Key"] for _, headers, _ in plane.requests]
    assert keys[0] == keys[1] != keys[2]


def test_a_base_address_may_have_a_path(plane, token) -> None:
    HttpsUplink(f"http://localhost:{plane.port}/central/", str(token), site_id="c", appliance_id="a").send(
        ENTRIES, sent_at=NOON
    )
    assert plane.requests[0][0] == "/central/agent/telemetry"


def test_a_partial_answer_says_what_became_of_each(plane, token) -> None:
    results = [
        {"id": IDS[0], "status": "retry", "reason": "busy"},
        {"id": IDS[1], "status": "rejected", "reason": "unknown check"},
    ]
    plane.answer_with(207, json.dumps({"results": results}).encode())
    answer = uplink_to(plane.port, token).send(ENTRIES, sent_at=NOON)
    assert answer.entries[IDS[0]] == EntryAnswer(EntryFate.AGAIN, "busy")
    assert answer.entries[IDS[1]] == EntryAnswer(EntryFate.HOPELESS, "unknown check")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>welcome to our hotel</html>", id="a captive portal"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"results": {}}', id="no list"),
        pytest.param(b'{"results": [{"id": "a"}]}', id="no status"),
        pytest.param(b'{"results": [{"id": "a", "status": "fine"}]}', id="an unknown status"),
        pytest.param(b'{"results": [7]}', id="a number"),
    ],
)
def test_an_answer_of_200_that_is_no_answer_to_a_batch_is_no_success(plane, token, body) -> None:
    plane.answer_with(200, body)
    answer = uplink_to(plane.port, token).send(ENTRIES, sent_at=NOON)
    assert answer.status is None
    assert judge(answer, IDS).line_failed


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 413, 422, 425, 429, 500, 503])
def test_a_refusal_brings_its_status_and_what_was_said(plane, token, status) -> None:
    plane.answer_with(status, b"because   of\nthis")
    answer = uplink_to(plane.port, token).send(ENTRIES, sent_at=NOON)
    assert (answer.status, answer.trouble) == (status, f"answered {status}: because of this")


@pytest.mark.parametrize(
    ("said", "told"), [(b"", "answered 503"), (b"\x1b[2Jall is well", "answered 503: \\x1b[2Jall is well")]
)
def test_what_a_receiver_says_steers_no_terminal(plane, token, said, told) -> None:
    plane.answer_with(503, said)
    assert uplink_to(plane.port, token).send(ENTRIES, sent_at=NOON).trouble == told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"", "ConnectionError: Remote end closed connection without response"),
        (b"\x1b[2J garbage\r\n\r\n", "ConnectionError: \\x1b[2J garbage"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
            "ChunkedEncodingError: IncompleteRead(2 bytes read, 7 more expected)",
        ),
    ],
)
def test_a_receiver_that_breaks_off_or_speaks_no_http_is_told_in_plain_words(token, said, told) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)

        def answer() -> None:
            line, _ = server.accept()
            with line:
                line.settimeout(30)
                while not line.recv(65_536).endswith(b"}"):
                    pass
                line.sendall(said)

        with ThreadPoolExecutor(1) as pool:
            answering = pool.submit(answer)
            got = uplink_to(server.getsockname()[1], token).send(ENTRIES, sent_at=NOON)
            answering.result(timeout=60)
    assert (got.status, got.trouble) == (None, told)


def test_a_redirect_is_not_followed(plane, token) -> None:
    plane.answer_with(302, b"", Location="https://elsewhere.example.org/")
    answer = uplink_to(plane.port, token).send(ENTRIES, sent_at=NOON)
    assert judge(answer, IDS).line_failed
    assert len(plane.requests) == 1


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [
        ("120", 120.0),
        ("999999999", 86_400.0),
        ("Thu, 15 Jan 2026 12:01:00 GMT", 60.0),
        ("Thu, 15 Jan 2026 11:00:00 GMT", 0.0),
        ("soon", None),
    ],
)
def test_the_receivers_wish_is_read_as_seconds_and_as_a_date(plane, token, wish, seconds) -> None:
    plane.answer_with(503, Retry_After=wish)
    plane.date = "Thu, 15 Jan 2026 12:00:00 GMT"
    answer = uplink_to(plane.port, token).send(ENTRIES, sent_at=NOON)
    assert answer.retry_after_s == seconds


def test_a_receiver_that_drips_is_cut_off_at_the_deadline(token) -> None:
    with dripping_server(b"HTTP/1.1 200 OK\r\n\r\n") as port:
        answer = uplink_to(port, token, deadline_s=0.3).send(ENTRIES, sent_at=NOON)
    assert answer == Answer(None, "no answer within 0.3 s")


def test_a_receiver_that_never_answers_is_cut_off_at_the_deadline(token) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answer = uplink_to(listener.getsockname()[1], token, deadline_s=0.3).send(ENTRIES, sent_at=NOON)
    assert answer == Answer(None, "no answer within 0.3 s")


def test_nobody_there_is_no_answer(token) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answer = uplink_to(port, token).send(ENTRIES, sent_at=NOON)
    assert answer.status is None
    assert "ConnectionError" in answer.trouble


def test_an_answer_that_floods_is_cut_off(plane, token) -> None:
    plane.answer_with(200, b"x" * (ANSWER_MAX_BYTES + 100_000))
    answer = uplink_to(plane.port, token).send(ENTRIES, sent_at=NOON)
    assert answer.status is None
    assert "more than" in answer.trouble


def test_a_certificate_that_nobody_vouches_for_is_refused_and_nothing_is_sent(tmp_path, token) -> None:
    _, context = make_certificate(tmp_path, "stranger")
    with Plane().serve(context) as stranger:
        answer = uplink_to(stranger.port, token, "https").send(ENTRIES, sent_at=NOON)
        assert stranger.requests == []
    assert answer.status is None
    assert answer.trouble.startswith("TLS: ")


@pytest.mark.parametrize("url", ["http://central.example.org", "ftp://localhost", "central.example.org", ""])
def test_an_address_that_would_carry_reports_in_clear_text_is_refused(url) -> None:
    with pytest.raises(ValueError, match="starts with https"):
        HttpsUplink(url, "token", site_id="c", appliance_id="a")


def test_a_token_that_cannot_be_read_is_told_and_nothing_is_sent(plane, token) -> None:
    token.unlink()
    answer = uplink_to(plane.port, token).send(ENTRIES, sent_at=NOON)
    assert answer.status is None
    assert str(token) in answer.trouble
    assert plane.requests == []


def test_a_token_that_others_can_read_is_refused(plane, token) -> None:
    token.chmod(0o644)
    assert uplink_to(plane.port, token).send(ENTRIES, sent_at=NOON).status is None
    assert plane.requests == []


@pytest.mark.parametrize("content", ["two words", "tab\there", "snow\u2603man"])
def test_a_token_that_is_none_is_told_without_quoting_it(plane, token, content) -> None:
    token.write_text(content, encoding="utf-8")
    answer = uplink_to(plane.port, token).send(ENTRIES, sent_at=NOON)
    assert content not in answer.trouble
    assert plane.requests == []


def test_a_refusal_that_quotes_the_token_does_not_reach_the_log(plane, token) -> None:
    plane.answer_with(401, f"Authorization: Bearer {TOKEN} is not known".encode())
    assert TOKEN not in uplink_to(plane.port, token).send(ENTRIES, sent_at=NOON).trouble


def test_a_sending_leaves_no_thread(plane, token) -> None:
    before = threading.active_count()
    for _ in range(5):
        uplink_to(plane.port, token).send(ENTRIES, sent_at=NOON)
    assert threading.active_count() <= before + 1  # the server's own, at most
