"""A week of a clinic in simulated time: the real engine, gate and state file over fake machines and a fake clock.

``make simulate`` prints what happened and why, in the clinic's own time. Only news is printed: an outcome that
repeats at every scan stands once.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import textwrap
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from compliance_agent.adapters.runbook_files import builtin_runbooks_path, load_catalogue
from compliance_agent.adapters.store.sqlite import SqliteStore
from compliance_agent.domain.evidence.drafts import ActionKind
from compliance_agent.domain.gate import GatePolicy
from compliance_agent.domain.gate.ledger import SetApproval
from compliance_agent.domain.gate.people import Approval, PersonAction, Term
from compliance_agent.domain.gate.windows import MaintenanceWindow
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.pattern import compile_pattern
from compliance_agent.domain.rule import Action, Rule
from compliance_agent.domain.target import Target
from compliance_agent.engine.admission import admit
from compliance_agent.engine.context import Engine
from compliance_agent.engine.cycle import run_turn
from compliance_agent.engine.recover import interrupt_unfinished
from compliance_agent.errors import StoreError, TransportError, TransportFault
from compliance_agent.testing import FakeAnswer, FakeClock, FakeIds, FakeTransport, bundle_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from compliance_agent.domain.outcome import Outcome

ZONE = ZoneInfo("America/New_York")
START = datetime(2026, 3, 2, 0, 0, tzinfo=ZONE)
"""A Monday; the clock springs forward on the Sunday of this week."""
WEEK_S = 7 * 86_400
STEP_S = 900
"""Pause between two scans of a machine."""

RUNBOOK = """\
schema: runbook/v1
id: {id}
version: 1
title: {title}
check_type: clinic
severity: high
platforms: [linux]
controls: {{hipaa: ["164.312(a)(1)"]}}
effects: {{disruption: low, reboot: {reboot}, reversible: false}}
facts: {{state: {{type: string}}}}
detect: {{steps: [{{script: 'ca_fact state "$(clinic-state)"'}}]}}
pass_when: {{state: good}}
fail_reason: {trouble}
remediate: {{steps: [{{script: clinic-mend}}]}}
"""
FIREWALL, BANNER, KERNEL = "CLINIC-FW-001", "CLINIC-BANNER-001", "CLINIC-KERNEL-001"
CHECKS = {
    FIREWALL: ("The firewall is on", "never", "the firewall is off"),
    BANNER: ("A login shows the banner", "never", "there is no banner"),
    KERNEL: ("The kernel is patched", "maybe", "the kernel is old"),
}
HOST = "hostname={}\nos_id=debian\nos_like=\nos_version=12\nkernel=6.1\nlogin_user=healer\nis_root=true\n\
systemd=true\ncontainer=false\n"


class CrashError(BaseException):
    """The power goes: nothing in the agent may catch it."""


@dataclass
class Machines:
    """The clinic's machines: what is good on them, who is away, and what befalls the agent.

    Attributes:
        bad: Target and check of each setting that is not as it should be.
        away: Targets that are not there.
        mended: Every remedy that reached a machine, target and check.
        crash_at: Crash while this target is mended.

    """

    bad: set[tuple[str, str]] = field(default_factory=set)
    away: set[str] = field(default_factory=set)
    mended: list[tuple[str, str]] = field(default_factory=list)
    crash_at: str = ""

    def answer(self, target: Target, script: str) -> FakeAnswer:
        """Do what a machine does with a bundle: report the states, or mend."""
        name = target.target_id
        if name in self.away:
            error = TransportError(TransportFault.TIMED_OUT, f"{name} does not answer", retryable=True)
            return FakeAnswer(error=error)
        steps = re.findall(r"step (\S+) \d+ (?:root|user)", script)
        is_remedy = "CA_ATTEMPT=" in script
        found: dict[str, tuple[str, int]] = {}
        for step in steps:
            check = step.split("/")[0]
            if step == "@host":
                found[step] = (HOST.format(name), 0)
            elif is_remedy:
                self._mend(name, check)
                found[step] = ("", 0)
            else:
                found[step] = (f"state={'bad' if (name, check) in self.bad else 'good'}\n", 0)
        return FakeAnswer(stdout=bundle_output(script, found))

    def _mend(self, target: str, check: str) -> None:
        self.mended.append((target, check))
        if self.crash_at == target:
            self.crash_at = ""
            raise CrashError
        self.bad.discard((target, check))


class Silent:
    """Hears every event, and says nothing."""

    def emit(self, event: str, **fields: object) -> None:
        """Take one event."""
        del event, fields


class DiskStore(SqliteStore):
    """The real state file, on a disk that can be full."""

    full = False

    def begin(self, *args: Any, **more: Any) -> Any:  # noqa: ANN401 - as the base
        """Begin an attempt."""
        self._need_room()
        return super().begin(*args, **more)

    def finish(self, *args: Any, **more: Any) -> None:  # noqa: ANN401 - as the base
        """End a turn."""
        self._need_room()
        super().finish(*args, **more)

    def record_scan(self, *args: Any, **more: Any) -> None:  # noqa: ANN401 - as the base
        """Keep a scan."""
        self._need_room()
        super().record_scan(*args, **more)

    def _need_room(self) -> None:
        if self.full:
            raise StoreError("database or disk is full", hint="free some space", retryable=True)


@dataclass(frozen=True)
class Line:
    """One line of the timeline.

    Attributes:
        at: When, in the clinic's time.
        where: Target, or target and check, or who did something.
        what: The outcome's kind, or ``event``.
        why: The reason.

    """

    at: datetime
    where: str
    what: str
    why: str

    def __str__(self) -> str:
        """Return it for people."""
        start = f"{self.at:%a %H:%M}  {self.where:<29} {self.what:<18}"
        width = max(100, shutil.get_terminal_size((120, 24)).columns)
        indent = " " * len(start)
        return textwrap.fill(self.why, width, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False)


class Week:
    """The simulation."""

    def __init__(self, folder: Path, tell: Callable[[Line], None] = lambda _line: None) -> None:
        """Build the clinic in an empty folder."""
        self.machines, self.clock, self.ids = Machines(), FakeClock(START.astimezone(UTC)), FakeIds()
        self.lines: list[Line] = []
        self.real_s = 0.0
        self._folder, self._tell, self._last = folder, tell, dict[str, tuple[str, str]]()
        self.targets = (
            Target("srv01", "clinic"),
            Target("srv02", "clinic"),
            Target("srv03", "clinic"),
            Target("laptop", "clinic"),
            Target("front-desk", "clinic", tags=("desk",)),
        )
        self.store = DiskStore(folder / "state.sqlite")
        self.engine = self._engine()
        self._happenings = sorted(self._script(), key=lambda pair: pair[0])

    def _engine(self) -> Engine:
        content = self._folder / "content"
        content.mkdir(exist_ok=True)
        for check, (title, reboot, trouble) in CHECKS.items():
            text = RUNBOOK.format(id=check, title=title, reboot=reboot, trouble=trouble)
            (content / f"{check}.yaml").write_text(text, encoding="utf-8")
        catalogue = load_catalogue([builtin_runbooks_path(), content])
        pattern = {check: compile_pattern({"check_id": check}) for check in CHECKS}
        rules, refused = admit([Rule(f"L-{check}", pattern[check], Action("run_runbook", check)) for check in CHECKS],
                               catalogue)  # fmt: skip
        if refused:
            raise ValueError(refused[0].reason)
        night = MaintenanceWindow("desk nights", time(22), time(5), ZONE, tags=("desk",))
        return Engine(
            catalogue=catalogue,
            rules=rules,
            transports={kind: FakeTransport(self.machines.answer) for kind in {one.transport for one in self.targets}},
            store=self.store,
            ids=self.ids,
            events=Silent(),
            policy=GatePolicy(windows=(night,)),
        )

    def _script(self) -> Iterator[tuple[float, Callable[[], None]]]:
        """Yield what befalls the clinic: seconds since the start (real time), and what happens then."""
        bad = self.machines.bad
        for number in range(int(WEEK_S / 6_300)):  # Group Policy: every 105 min
            yield number * 6_300.0, lambda: bad.add(("srv01", FIREWALL))
        for day in range(7):  # a cron job at 03:00 local; the last night is an hour shorter
            at = (START + timedelta(days=day, hours=3)).astimezone(UTC) - START.astimezone(UTC)
            yield at.total_seconds(), lambda: bad.add(("srv02", BANNER))
        self.machines.away.add("laptop")
        yield _at(0, 9), lambda: bad.add(("laptop", FIREWALL))
        for day in range(5):  # the laptop is there in the morning and in the afternoon
            for comes, goes in ((9, 12), (13, 17)):
                yield _at(day, comes), lambda: self.machines.away.discard("laptop")
                yield _at(day, goes), lambda: self.machines.away.add("laptop")
        yield _at(1, 9), lambda: bad.add(("srv02", KERNEL))
        yield _at(1, 15), self._approve
        yield _at(2, 14), self._crash
        yield _at(3, 10), self._fill_disk
        yield _at(3, 11), self._free_disk
        yield _at(4, 13), lambda: self._jump(86_400, "the appliance's clock jumps a day ahead")
        yield _at(4, 14), lambda: self._jump(-86_400, "the appliance's clock is put right")
        yield _at(5, 20), lambda: bad.add(("front-desk", BANNER))
        yield _at(6, 6), lambda: bad.add(("front-desk", BANNER))

    def run(self) -> Week:
        """Let the week pass."""
        while self.real_s < WEEK_S:
            while self._happenings and self._happenings[0][0] <= self.real_s:
                self._happenings.pop(0)[1]()
            for target in self.targets:
                self._turn(target)
            self.clock.advance(STEP_S)
            self.real_s += STEP_S
        return self

    def close(self) -> None:
        """Close the state file."""
        self.store.close()

    @property
    def now(self) -> datetime:
        """Return the real time, in the clinic's zone."""
        return (START.astimezone(UTC) + timedelta(seconds=self.real_s)).astimezone(ZONE)

    def _turn(self, target: Target) -> None:
        try:
            turn = run_turn(self.engine, target, now=self.clock.read(), dry_run=False)
        except CrashError:
            self._say("the agent", "event", f"the power fails while {target.target_id} is being mended")
            self._restart()
            return
        name = target.target_id
        if turn.scan.unreached is not None:
            self._news(name, "unreachable", turn.scan.unreached.message)
        elif self._last.get(name, ("", ""))[0] == "unreachable":
            self._news(name, "reachable", "it answers again")
        if turn.trouble:
            self._news(f"{name} state", "not stored", f"{turn.trouble}: scanned, nothing changed")
        else:
            self._last.pop(f"{name} state", None)
        for outcome in turn.outcomes:
            self._outcome(outcome)
        for seen in turn.scan.observations:
            if seen.verdict.value == "pass":
                self._last.pop(f"{name} {seen.check_id}", None)

    def _outcome(self, outcome: Outcome) -> None:
        until = f" [until {outcome.until.astimezone(ZONE):%a %H:%M}]" if outcome.until else ""
        self._news(f"{outcome.target_id} {outcome.check_id}", outcome.kind.value, f"{outcome.reason}{until}")

    def _news(self, where: str, what: str, why: str) -> None:
        told = re.sub(r" \[until .*\]$", "", why)
        if self._last.get(where) != (what, told):
            self._last[where] = (what, told)
            self._say(where, what, why)

    def _say(self, where: str, what: str, why: str) -> None:
        line = Line(self.now, where, what, why)
        self.lines.append(line)
        self._tell(line)

    def _approve(self) -> None:
        now = self.engine.instant(self.clock.read())
        (request,) = self.store.requests()
        until = Term(now.wall + timedelta(days=1), now.elapsed_s + 86_400)
        reason = "after hours"
        approval = Approval(request.incident_id, request.plan_digest, "ann", reason, now.wall, until)
        place = {"target_id": request.target_id, "check_id": request.check_id}
        self.store.record_action(
            PersonAction(ActionKind.APPROVED, "ann", reason, now.wall, **place), [SetApproval(approval)]
        )
        self._say("ann", "event", f"approves {request.summary} on {request.target_id}")

    def _crash(self) -> None:
        self.machines.bad.add(("srv03", FIREWALL))
        self.machines.crash_at = "srv03"

    def _restart(self) -> None:
        """Be gone, and come up again five minutes later over the same state file, in a new boot."""
        self.store.close()
        self.clock.reboot(300)
        self.real_s += 300
        self.store = DiskStore(self._folder / "state.sqlite")
        self.engine = replace(self.engine, store=self.store)
        for attempt in interrupt_unfinished(self.store, now=self.clock.now()):
            where = f"{attempt.target_id} {attempt.check_id}"
            self._say(
                where, OutcomeKind.INTERRUPTED.value, "found unfinished at the start; detected afresh, not repeated"
            )

    def _fill_disk(self) -> None:
        self.store.full = True
        self.machines.bad.add(("srv03", BANNER))
        self._say("the appliance", "event", "the disk is full")

    def _free_disk(self) -> None:
        self.store.full = False
        self._say("the appliance", "event", "there is room on the disk again")

    def _jump(self, seconds: float, text: str) -> None:
        self.clock.step(seconds)
        self._say("the appliance", "event", text)


def _at(day: int, hour: int, minute: int = 0) -> float:
    """Return seconds from the start to a local time of a day of the week, 0 is Monday."""
    at = (START + timedelta(days=day)).replace(hour=hour, minute=minute)
    return (at.astimezone(UTC) - START.astimezone(UTC)).total_seconds()


def main() -> None:
    """Print the week."""
    memory = Path("/dev/shm")  # noqa: S108 - the state file is real, its disk need not be
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        week = Week(Path(folder), tell=lambda line: print(line, flush=True))
        week.run()
        kinds = [line.what for line in week.lines]
        week.close()
    print(f"\nA week, {len(kinds)} lines, {len(week.machines.mended)} remedies reached a machine.", file=sys.stdout)


if __name__ == "__main__":
    main()
