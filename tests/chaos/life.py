"""One life of the agent, from start to end, over the real state file and a real HTTP line; only machines are fake.

A life is run in a process of its own (``zygote.py``), so that it can be killed. The machines live in files outside
the state folder: what was done to them survives, and every deed leaves a line that names its attempt.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Final

from compliance_agent.adapters.control_plane.https import HttpsUplink
from compliance_agent.adapters.ids import SystemIds
from compliance_agent.adapters.runbook_files import builtin_runbooks_path, load_catalogue
from compliance_agent.adapters.store import Limits, SqliteStore
from compliance_agent.app.outbox_worker import OutboxWorker
from compliance_agent.app.reporting import TelemetryReporter, heartbeat
from compliance_agent.domain.gate import GatePolicy
from compliance_agent.domain.target import CheckSelection, Target, TransportKind
from compliance_agent.domain.uplink import SendPolicy
from compliance_agent.engine.admission import admit
from compliance_agent.engine.context import Engine
from compliance_agent.engine.cycle import run_turn
from compliance_agent.engine.evidence import EvidenceReporter
from compliance_agent.engine.recover import interrupt_unfinished
from compliance_agent.engine.reporter import Reporters
from compliance_agent.errors import StoreError, TransportError, TransportFault
from compliance_agent.testing import NOON, FakeAnswer, FakeClock, FakeTransport, bundle_output
from tests.support.evidence import a_recorder
from tests.support.turns import RUNBOOK, Recorder, rule

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from compliance_agent.domain.catalogue import Catalogue

SITE: Final = "clinic"
CHECKS: Final = ("TEST-FILE-001", "TEST-FILE-002")
"""The remedy of the first heals; that of the second does not help."""
MACHINES: Final = ("front-desk",)
SECONDS_A_LIFE: Final = 600
POLICY: Final = SendPolicy(batch_rows_max=3)
DONE: Final = 0
IN_TROUBLE: Final = 3
"""Exit code of a life that said that its state cannot be written, and went on without."""

_HOST: Final = "hostname=fake\nos_id=debian\nos_like=\nos_version=12\nkernel=6.1\nlogin_user=\nis_root=true\n"
_FLAGS: Final = "systemd=false\ncontainer=false\n"


@dataclass(frozen=True, slots=True)
class Order:
    """What a life is to do.

    Attributes:
        folder: With ``state`` and ``machines``.
        number: Which life; its time is ``number`` times ten minutes after noon.
        url: Of the receiver.

    """

    folder: Path
    number: int
    url: str

    @property
    def now(self) -> datetime:
        """Return the time of this life."""
        return NOON + timedelta(seconds=SECONDS_A_LIFE * self.number)


def load_test_catalogue(folder: Path) -> Catalogue:
    """Write the test runbooks and read them."""
    folder.mkdir(parents=True, exist_ok=True)
    for check_id in CHECKS:
        text = RUNBOOK.format(id=check_id, remedy="true", path="/nowhere")
        (folder / f"{check_id}.yaml").write_text(text, encoding="utf-8")
    return load_catalogue([builtin_runbooks_path(), folder])


@dataclass(frozen=True, slots=True)
class Machines:
    """The machines behind the fake transport, as files."""

    folder: Path

    def drift(self, names: tuple[str, ...]) -> None:
        """Have the checks of these machines fail."""
        for name in names:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            for check_id in CHECKS:
                (self.folder / name / check_id).write_text("bad", encoding="utf-8")

    def deeds(self) -> list[str]:
        """Return the attempt of each deed, in order."""
        path = self.folder / "deeds"
        return path.read_text(encoding="utf-8").split() if path.exists() else []

    def answer(self, target: Target, script: str) -> FakeAnswer:
        """Do what a bundle asks for and print what a machine prints."""
        try:
            return self._answer(target, script)
        except OSError as error:  # a write that a test has fail can be one of the machine's, too
            return FakeAnswer(error=TransportError(TransportFault.CLOSED, f"the line broke: {error}"))

    def _answer(self, target: Target, script: str) -> FakeAnswer:
        attempt = re.search(r"CA_ATTEMPT=([0-9a-f-]{36});", script)
        steps = {}
        for step_id in re.findall(r"(?m)\bstep (\S+) [0-9]+ ", script):
            check_id = step_id.partition("/")[0]
            if step_id == "@host":
                steps[step_id] = (_HOST + _FLAGS, 0)
            elif attempt is None:
                text = (self.folder / target.target_id / check_id).read_text(encoding="utf-8")
                steps[step_id] = (f"text={text}\n", 0)
            else:
                if 'cp "$PARAM_PATH.before"' not in script:  # a rollback takes back what the same attempt did
                    self._do(target, check_id, attempt[1])
                steps[step_id] = ("", 0)
        return FakeAnswer(stdout=bundle_output(script, steps))

    def _do(self, target: Target, check_id: str, attempt_id: str) -> None:
        descriptor = os.open(self.folder / "deeds", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, f"{attempt_id}\n".encode())
        finally:
            os.close(descriptor)
        if check_id == CHECKS[0]:
            (self.folder / target.target_id / check_id).write_text("good", encoding="utf-8")


RECORDER: Final = replace(a_recorder(), forward=True)
"""Signs with a key that is the same in every life, and tells the control plane."""


def machines_of(number: int) -> tuple[str, ...]:
    """Return the machines of a life: the same for three in a row, so that what a kill left is met again."""
    return tuple(f"{name}-{number // 3}" for name in MACHINES)


def live(order: Order, catalogue: Catalogue) -> int:
    """Run one life; return its exit code."""
    now, events, ids = order.now, Recorder(), SystemIds()
    token = order.folder / "token"
    try:
        with SqliteStore(order.folder / "state" / "state.sqlite", turns_at=now, recorder=RECORDER) as store:
            rules, _ = admit([rule(check_id) for check_id in CHECKS], catalogue)
            engine = Engine(
                catalogue=catalogue,
                rules=rules,
                transports={TransportKind.LOCAL: FakeTransport(Machines(order.folder / "machines").answer)},
                store=store,
                ids=ids,
                events=events,
                policy=GatePolicy(cooldown_s=0),
                reporter=Reporters((EvidenceReporter(catalogue), TelemetryReporter(SITE, ids))),
            )
            interrupt_unfinished(store, now=now, reporter=engine.reporter)
            for name in machines_of(order.number):
                run_turn(engine, Target(name, SITE, checks=CheckSelection(CHECKS)), now=now, dry_run=False)
            store.attach(heartbeat(store.counts(), site_id=SITE, version="test", ids=ids, now=now))
            uplink = HttpsUplink(order.url, str(token), site_id=SITE, appliance_id="a1", deadline_s=5)
            report = OutboxWorker(store, uplink, FakeClock(now), Random(order.number), policy=POLICY).send_due()  # noqa: S311
            store.prune(now, Limits())
            store.snapshot(now, interval=timedelta(0))
    except StoreError:
        return IN_TROUBLE
    troubled = "store.failed" in events.names() or "state file" in report.trouble
    return IN_TROUBLE if troubled else DONE
