"""Also: orders were taken unsigned, and taken again when replayed.

There are no orders yet; issue 6 brings signed ones and proves that an unsigned, old or repeated one is refused. Here is
what exists of it: nothing that a control plane answers is an order. It is told things, and can only say what it took.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from compliance_agent.adapters.control_plane.https import HttpsUplink
from compliance_agent.domain.uplink import EntryFate
from tests.support.receivers import Web
from tests.support.state import an_entry, at

if TYPE_CHECKING:
    from pathlib import Path

ORDER = {"action": "run_linux_runbook:LIN-FW-001", "target_id": "srv01"}


class Commanding(Web):
    """Takes what it is sent, and answers with more than it was asked."""

    more: dict[str, object]

    def answer(self, content: bytes) -> None:
        entries = json.loads(content)["entries"]
        self.status = 200
        results = [{"id": one["id"], "status": "accepted"} for one in entries]
        self.body = json.dumps({"results": results, **self.more}).encode()


def test_an_answer_that_brings_orders_or_rules_is_heard_for_what_it_took_alone(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("a-token")
    web = Commanding()
    web.more = {"orders": [ORDER], "rules": [{"rule_id": "X", "incident_pattern": {"a": 1}, "action": "alert:x"}]}
    with web.serve():
        uplink = HttpsUplink(f"http://127.0.0.1:{web.port}", str(token), "clinic", "a1")
        answer = uplink.send([an_entry(1)], sent_at=at(0))
    assert answer.trouble == ""
    assert {name: one.fate for name, one in answer.entries.items()} == {an_entry(1).entry_id: EntryFate.TAKEN}
    assert set(answer.__slots__) == {"status", "trouble", "entries", "retry_after_s"}
