"""Turns as tables for people. Words and symbols together, so that nothing hangs on colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from compliance_agent.cli.documents import item_of, outcome_of
from compliance_agent.cli.output import plural
from compliance_agent.domain.observation import Verdict
from compliance_agent.domain.outcome import OutcomeKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from compliance_agent.domain.catalogue import Catalogue
    from compliance_agent.domain.observation import Observation
    from compliance_agent.engine.cycle import Turn
    from compliance_agent.engine.plan import PlanItem

TABLE_WIDTH_MIN: Final = 110
"""Columns of a terminal below which a table is a list."""

VERDICT_STYLE: Final = {
    Verdict.PASS: ("✓ pass", "green"),
    Verdict.FAIL: ("✗ fail", "bold red"),
    Verdict.NOT_APPLICABLE: ("- not applicable", "dim"),
    Verdict.NOT_ASSESSED: ("? not assessed", "yellow"),
    Verdict.ERROR: ("! error", "bold magenta"),
}
"""Verdict to its word with a symbol, and its style."""

OUTCOME_STYLE: Final = {
    OutcomeKind.REMEDIATED: "green",
    OutcomeKind.WOULD_CHANGE: "cyan",
    OutcomeKind.FAILED: "bold red",
    OutcomeKind.VERIFY_FAILED: "bold red",
    OutcomeKind.SUPPRESSED: "yellow",
}


def show_turns(console: Console, turns: Sequence[Turn], catalogue: Catalogue, *, with_plan: bool = True) -> None:
    """Print one table for each target; on a narrow terminal a list instead."""
    for turn in turns:
        console.print(_heading(turn))
        if turn.trouble:
            console.print(f"  [bold red]! ended early[/]: {escape(turn.trouble)}")
        if turn.scan.unreached is not None:
            console.print(f"  [bold red]! {turn.scan.unreached.fault.value}[/]: {escape(turn.scan.unreached.message)}")
            if turn.scan.unreached.hint:
                console.print(f"    {escape(turn.scan.unreached.hint)}")
        elif console.width < TABLE_WIDTH_MIN:
            _list(console, turn, catalogue)
        else:
            console.print(_table(turn, catalogue, with_plan=with_plan))


def _list(console: Console, turn: Turn, catalogue: Catalogue) -> None:
    for seen in turn.scan.observations:
        item = item_of(turn, seen)
        line = Text(f" {seen.check_id}  ").append(_verdict(seen)).append(f"  {_hipaa(seen, catalogue, ', ')}")
        if item:
            line.append(f"  {_incident(item, ' ')}")
        console.print(line)
        console.print(Padding(_plan_text(turn, seen, catalogue), (0, 0, 0, 4)))


def _heading(turn: Turn) -> Text:
    target, host = turn.scan.target, turn.scan.host
    text = Text("\n")
    text.append(target.target_id, style="bold")
    text.append(f"  {target.address}")
    if host is not None:
        system = " ".join(part for part in (host.os_id, host.os_version) if part) or "unknown system"
        text.append(f", {host.hostname}, {system}, {'as root' if host.is_root else 'not as root'}")
    return text


def _table(turn: Turn, catalogue: Catalogue, *, with_plan: bool) -> Table:
    table = Table(box=None, pad_edge=True, padding=(0, 1), header_style="bold", expand=False)
    table.add_column("CHECK", no_wrap=True)
    table.add_column("HIPAA", no_wrap=True)
    table.add_column("OBSERVED", no_wrap=True)
    if not with_plan:
        table.add_column("WHY", overflow="fold", ratio=1)
        for seen in turn.scan.observations:
            table.add_row(seen.check_id, _hipaa(seen, catalogue), _verdict(seen), _why(seen, catalogue))
        return table
    table.add_column("INCIDENT, RULE", no_wrap=True)
    table.add_column("PLAN, OR WHY NOT" if turn.dry_run else "DONE, OR WHY NOT", overflow="fold", ratio=1)
    for seen in turn.scan.observations:
        item = item_of(turn, seen)
        table.add_row(
            seen.check_id,
            _hipaa(seen, catalogue),
            _verdict(seen),
            Text(_incident(item, "\n") if item else ""),
            _plan_text(turn, seen, catalogue),
        )
    return table


def _incident(item: PlanItem, separator: str) -> str:
    rule = item.rule.rule_id if item.rule else "no rule"
    return f"{item.incident.severity} {item.incident.incident_id[:8]}{separator}{rule}"


def _hipaa(seen: Observation, catalogue: Catalogue, separator: str = "\n") -> str:
    compiled = catalogue.get(seen.check_id)
    return separator.join(compiled.runbook.controls.hipaa) if compiled else ""


def _verdict(seen: Observation) -> Text:
    word, style = VERDICT_STYLE[seen.verdict]
    return Text(word, style=style)


def _why(seen: Observation, catalogue: Catalogue) -> str:
    compiled = catalogue.get(seen.check_id)
    title = compiled.runbook.title if compiled else ""
    return escape(title if seen.verdict is Verdict.PASS else f"{title}: {seen.reason}")


def _plan_text(turn: Turn, seen: Observation, catalogue: Catalogue) -> Text:
    if seen.verdict is not Verdict.FAIL:
        compiled = catalogue.get(seen.check_id)
        title = compiled.runbook.title if compiled else ""
        return Text(title if seen.verdict is Verdict.PASS else seen.reason, style="dim")
    text = Text(seen.reason, style="")
    outcome = outcome_of(turn, seen)
    if outcome is None:
        return text.append("\nleft for the next turn")
    text.append(f"\n{outcome.kind.value}", style=OUTCOME_STYLE.get(outcome.kind, "yellow"))
    text.append(f": {outcome.reason}")
    if outcome.until is not None:
        text.append(f" (until {outcome.until:%Y-%m-%d %H:%M} UTC)")
    if outcome.attempt_id:
        text.append(f"\nattempt {outcome.attempt_id}", style="dim")
    return text


def summary_line(turns: Sequence[Turn]) -> str:
    """Return one line: targets, checks by verdict, outcomes."""
    seen = [one.verdict for turn in turns for one in turn.scan.observations]
    parts = [f"{plural(len(turns), 'target')}, {plural(len(seen), 'check')}"]
    verdicts = [f"{seen.count(verdict)} {verdict.value}" for verdict in Verdict if verdict in seen]
    unreached = sum(turn.scan.unreached is not None for turn in turns)
    if unreached:
        verdicts.append(f"{plural(unreached, 'target')} unreachable")
    parts.append(", ".join(verdicts) or "nothing assessed")
    kinds = [outcome.kind for turn in turns for outcome in turn.outcomes]
    outcomes = [f"{kinds.count(kind)} {kind.value}" for kind in OutcomeKind if kind in kinds]
    if outcomes:
        parts.append(", ".join(outcomes))
    return "; ".join(parts) + "."
