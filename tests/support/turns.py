"""A small world for turns: real shells on this machine, test runbooks over files in a temporary folder."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from compliance_agent.adapters.ids import SystemIds
from compliance_agent.adapters.runbook_files import builtin_runbooks_path, load_catalogue
from compliance_agent.adapters.store.memory import MemoryStore
from compliance_agent.adapters.transports.local import LocalTransport
from compliance_agent.domain.gate import GatePolicy
from compliance_agent.domain.pattern import compile_pattern
from compliance_agent.domain.rule import Action, Rule
from compliance_agent.domain.target import CheckSelection, Target, TransportKind
from compliance_agent.engine.admission import admit
from compliance_agent.engine.context import Engine
from compliance_agent.engine.cycle import run_turn
from compliance_agent.errors import TransportError, TransportFault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from compliance_agent.engine.cycle import Turn
    from compliance_agent.engine.ports import Session

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

RUNBOOK = """\
schema: runbook/v1
id: {id}
version: 1
title: The file says good
check_type: test_file
severity: low
platforms: [linux]
controls: {{hipaa: ["164.312(a)(1)"]}}
parameters:
  path: {{type: string, description: the file, default: {path}}}
facts:
  text: {{type: string}}
detect:
  privilege: user
  steps:
    - script: |
        ca_fact text "$(cat "$PARAM_PATH" 2>/dev/null)"
pass_when: {{text: good}}
fail_reason: the file does not say good
remediate:
  privilege: user
  guards:
    - when: {{text: hands-off}}
      reason: the file asks to be left alone
  steps:
    - script: |
        cp "$PARAM_PATH" "$PARAM_PATH.before"
        {remedy}
rollback:
  privilege: user
  steps:
    - script: |
        cp "$PARAM_PATH.before" "$PARAM_PATH"
"""

REMEDIES = {
    "TEST-FILE-001": 'printf good >"$PARAM_PATH"',
    "TEST-FILE-002": 'printf better >"$PARAM_PATH"',
    "TEST-FILE-003": 'printf half >"$PARAM_PATH"; echo "cannot go on" >&2; exit 7',
}
"""Runbook id to remedy: one heals, one does not help, one breaks in the middle."""


class Recorder:
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def emit(self, event: str, **fields: object) -> None:
        self.events.append((event, fields))

    def names(self) -> list[str]:
        return [name for name, _ in self.events]


class BrittleTransport:
    """The real local transport, with trouble where a test asks for it.

    ``trouble`` maps the number of an ``open`` (from 1) to what to raise there; ``cuts`` names the
    opens whose session breaks after the script has run, ``kept`` those that go on with a connection from before.
    """

    def __init__(self) -> None:
        self.inner = LocalTransport()
        self.opens = 0
        self.trouble: dict[int, TransportError] = {}
        self.cuts: set[int] = set()
        self.kept: set[int] = set()
        self.fresh: list[int] = []
        self.before_run: Callable[[int], None] = lambda _number: None

    def open(self, target: Target, *, fresh: bool = False) -> Session:
        self.opens += 1
        if fresh:
            self.fresh.append(self.opens)
        if self.opens in self.trouble:
            raise self.trouble[self.opens]
        session: Any = self.inner.open(target)
        number, run = self.opens, session.run

        def watched(script: str, *, timeout_s: float, output_max_bytes: int) -> Any:
            self.before_run(number)
            result = run(script, timeout_s=timeout_s, output_max_bytes=output_max_bytes)
            if number in self.cuts:
                raise TransportError(TransportFault.CLOSED, "the connection was lost", retryable=True)
            return result

        return _Watched(session, watched, kept=number in self.kept and not fresh)


class _Watched:
    def __init__(self, session: Any, run: Any, *, kept: bool) -> None:
        self._session, self.run, self.kept = session, run, kept

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def unreachable() -> TransportError:
    return TransportError(TransportFault.REFUSED, "nobody listens there", hint="start it")


@dataclass
class World:
    """Engine, target and the files that the checks look at."""

    folder: Path
    engine: Engine
    target: Target
    transport: BrittleTransport
    events: Recorder
    store: MemoryStore
    now: datetime = NOON
    turns: list[Turn] = field(default_factory=list)

    def path(self, check_id: str) -> Path:
        return self.folder / check_id

    def say(self, check_id: str, text: str) -> None:
        self.path(check_id).write_text(text, encoding="utf-8")

    def says(self, check_id: str) -> str:
        return self.path(check_id).read_text(encoding="utf-8")

    def turn(self, *, dry_run: bool = False) -> Turn:
        turn = run_turn(self.engine, self.target, now=self.now, dry_run=dry_run)
        self.turns.append(turn)
        self.now += timedelta(minutes=10)
        return turn

    def outcome(self, *, dry_run: bool = False) -> Any:
        """Run one turn and return its only outcome."""
        (outcome,) = self.turn(dry_run=dry_run).outcomes
        return outcome

    def with_engine(self, **changes: Any) -> None:
        self.engine = replace(self.engine, **changes)


def rule(check_id: str, action: str | None = None, **changes: Any) -> Rule:
    prefix, argument = (action or f"run_linux_runbook:{check_id}").split(":", 1)
    pattern = compile_pattern({"check_id": check_id})
    return Rule(f"L1-{check_id}", pattern, Action(prefix, argument), **changes)


def make_world(folder: Path, *checks: str, rules: list[Rule] | None = None, policy: GatePolicy | None = None) -> World:
    """Build a world whose target has these checks; every file says good at first."""
    content = folder / "content"
    content.mkdir()
    for check_id, remedy in REMEDIES.items():
        text = RUNBOOK.format(id=check_id, remedy=remedy, path=folder / check_id)
        (content / f"{check_id}.yaml").write_text(text, encoding="utf-8")
        (folder / check_id).write_text("good", encoding="utf-8")
    catalogue = load_catalogue([builtin_runbooks_path(), content])
    admitted, quarantined = admit(rules if rules is not None else [rule(check) for check in checks], catalogue)
    transport, events = BrittleTransport(), Recorder()
    store = MemoryStore()
    engine = Engine(
        catalogue=catalogue,
        rules=admitted,
        quarantined=quarantined,
        transports={TransportKind.LOCAL: transport},
        store=store,
        ids=SystemIds(),
        events=events,
        policy=policy or GatePolicy(cooldown_s=0),
    )
    target = Target("front-desk", "clinic", checks=CheckSelection(include=tuple(checks)))
    return World(folder, engine, target, transport, events, store)
