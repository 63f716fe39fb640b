"""Explanations of rules as documents for programs and as sentences for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from rich.console import Group
from rich.table import Table
from rich.text import Text

from compliance_agent.cli.indented import Indented
from compliance_agent.cli.output import plural
from compliance_agent.domain.edits import SUBJECT_COST
from compliance_agent.domain.text import one_line
from compliance_agent.wire.json_document import write_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console, RenderableType

    from compliance_agent.domain.explanation import Explanation, RuleExplanation
    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.domain.pattern_nodes import Clause

Gates: TypeAlias = "Mapping[str, list[JsonValue]]"
"""Rule id to the answer of each gate, for the rules whose pattern matches; none where the incident has no place."""

_CHANGED_PATTERN_MAX: Final = 2_000
"""Most characters of a changed pattern that people are shown."""


def explanation_document(
    explanation: Explanation, gates: Gates, incident: Mapping[str, JsonValue], winner: str | None
) -> dict[str, JsonValue]:
    """Return the explanation as one document; its rules stand in the order in which people see them."""
    parts = [explanation.winner, *explanation.shadowed, *explanation.nearest]
    return {
        "winner": winner,
        "rules": [rule_row(one, gates, incident) for one in parts if one is not None],
        "more": {"matching": explanation.shadowed_more, "not_matching": explanation.nearest_more},
    }


def rule_row(one: RuleExplanation, gates: Gates, incident: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return one rule's explanation for programs."""
    rule = one.rule
    return {
        "rule": rule.rule_id,
        "enabled": rule.enabled,
        "priority": rule.priority,
        "source": rule.source.value,
        "action": str(rule.action),
        "matches": one.matches,
        "shadowed_by": one.shadowed_by,
        "clauses": [_clause_row(clause) for clause in one.clauses],
        "failing": len(one.failing),
        "first_failing": _clause_row(one.failing[0]) if one.failing else None,
        "gate": gates.get(rule.rule_id, []),
        "counterfactual": _change_row(one, incident),
        "no_suggestion": [clause.path for clause in one.unsuggested],
        "pattern_change": _pattern_row(one),
    }


def _clause_row(clause: Clause) -> dict[str, JsonValue]:
    return {"field": clause.path, "expected": clause.expected, "actual": clause.actual, "holds": clause.holds}


def _change_row(one: RuleExplanation, incident: Mapping[str, JsonValue]) -> dict[str, JsonValue] | None:
    if one.change is None:
        return None
    edits: list[JsonValue] = [
        {"path": list(edit.path), "op": edit.kind.value, "value": edit.value, "example": edit.example}
        for edit in one.change.edits
    ]
    return {"cost": one.change.cost, "edits": edits, "text": f"would match if {one.change.in_words(incident)}"}


def _pattern_row(one: RuleExplanation) -> dict[str, JsonValue] | None:
    if one.pattern_change is None:
        return None
    changes: list[JsonValue] = [
        {"path": change.path, "before": change.before, "after": change.after, "dropped": change.dropped}
        for change in one.pattern_change.changes
    ]
    return {"changes": changes, "pattern": one.pattern_change.pattern, "text": one.pattern_change.in_words()}


def show_explanation(
    console: Console,
    explanation: Explanation,
    gates: Gates,
    incident: Mapping[str, JsonValue],
    *,
    winner: str | None,
    asked: str | None,
) -> None:
    """Print an explanation; with ``asked`` it is of one rule, and each of its clauses is shown."""
    console.print(_headline(explanation, winner, asked))
    whole = asked is not None
    if explanation.winner is not None:
        _show_details(console, explanation.winner, gates, incident, whole=True)
    if explanation.shadowed and not whole:
        console.print(Text(f"\nMatch too, but {winner} goes first", style="bold"))
    for one in explanation.shadowed:
        _show_rule(console, one, gates, incident, whole=whole)
    _show_more(console, explanation.shadowed_more, "match too")
    if explanation.nearest and not whole:
        console.print(Text("\nNearest misses", style="bold"))
    for one in explanation.nearest:
        _show_rule(console, one, gates, incident, whole=whole)
    _show_more(console, explanation.nearest_more, "do not match")


def _headline(explanation: Explanation, winner: str | None, asked: str | None) -> Text:
    if explanation.winner is None:
        return Text(f"Winner: {winner}" if winner else "No rule matches this incident.", style="" if asked else "bold")
    return Text("Winner: ", style="bold green").append_text(_rule_line(explanation.winner, mark=False))


def _show_more(console: Console, count: int, what: str) -> None:
    if count:
        more = "1 more rule" if count == 1 else f"{count:,} more rules"
        verb = what if count > 1 else what.replace("match too", "matches too").replace("do not", "does not")
        console.print(Text(f"\n{more} {verb}; --limit shows more, --rule ID one of them.", style="dim"))


def _show_rule(
    console: Console, one: RuleExplanation, gates: Gates, incident: Mapping[str, JsonValue], *, whole: bool
) -> None:
    console.print(_rule_line(one))
    _show_details(console, one, gates, incident, whole=whole)


def _show_details(
    console: Console, one: RuleExplanation, gates: Gates, incident: Mapping[str, JsonValue], *, whole: bool
) -> None:
    if whole:
        about = ", ".join(part for part in (one.rule.name, one.rule.place) if part)
        console.print(Indented(Text(one_line(about), style="dim"), 2))
    shown = one.clauses if whole else one.failing
    if shown:
        console.print(Indented(_clauses(shown, console.width - 2), 2))
    for line in _sentences(one, incident, whole=whole):
        console.print(Indented(line, 4))
    asked = gates.get(one.rule.rule_id)
    for line in _gate_lines(asked) if whole and asked is not None else []:
        console.print(Indented(line, 2))


def _rule_line(one: RuleExplanation, *, mark: bool = True) -> Text:
    text = Text()
    if not mark:
        pass
    elif one.matches:
        text.append("✓ ", style="green")
    elif one.failing:
        text.append("✗ ", style="bold red")
    else:
        text.append("- ", style="yellow")
    text.append(one.rule.rule_id, style="bold").append(f" → {one_line(str(one.rule.action))}")
    if one.matches:
        return text.append(f"  priority {one.rule.priority}, {one.rule.source}", style="dim")
    state = "" if one.rule.enabled else ", disabled"
    if not one.failing:
        return text.append("  its pattern matches, but the rule is disabled", style="yellow")
    verb = "fails" if len(one.failing) == 1 else "fail"
    return text.append(f"  {len(one.failing)} of {plural(len(one.clauses), 'clause')} {verb}{state}", style="dim")


def _clauses(clauses: Sequence[Clause], width: int) -> RenderableType:
    """Return the clauses as columns, or where those would be too wide, one part below the other."""
    rows = [_clause_cells(clause) for clause in clauses]
    if sum(max(row[column].cell_len for row in rows) for column in range(3)) + 4 > width:
        lines: list[RenderableType] = []
        for field, *rest in rows:
            lines += [field, *(Indented(one, 4) for one in rest)]
        return Group(*lines)
    table = Table.grid(padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*row)
    return table


def _clause_cells(clause: Clause) -> tuple[Text, Text, Text]:
    style = "" if clause.holds else "bold"
    mark = ("✓ ", "green") if clause.holds else ("✗ ", "bold red")
    return (
        Text.assemble(mark, (one_line(clause.path) or "(the incident)", style)),
        Text.assemble(("expected ", "dim"), one_line(clause.expected)),
        Text.assemble(("actual ", "dim"), (one_line(clause.actual), style)),
    )


def _sentences(one: RuleExplanation, incident: Mapping[str, JsonValue], *, whole: bool) -> list[Text]:
    lines = []
    if one.shadowed_by and whole:
        lines.append(Text(f"it matches, but {one.shadowed_by} matches too and goes first", style="yellow"))
    if not one.failing:
        return lines
    if one.change is not None:
        lines.append(Text.assemble(("would match if ", "cyan"), one_line(one.change.in_words(incident))))
    lines += [
        Text(one_line(f"no value can be suggested for {_place(clause)}: {clause.expected}"), style="yellow")
        for clause in one.unsuggested
    ]
    if one.change is None and not one.unsuggested:
        lines.append(Text("no small change of the incident would make it match", style="yellow"))
    if one.pattern_change is not None and (whole or _is_smaller(one)):
        opening = "or change the pattern: " if one.change else "change the pattern: "
        lines.append(Text.assemble((opening, "cyan"), one_line(one.pattern_change.in_words())))
        changed = write_json(one.pattern_change.pattern)
        if whole and len(changed) <= _CHANGED_PATTERN_MAX:
            lines.append(Text.assemble(("incident_pattern: ", "dim"), one_line(changed)))
    return lines


def _place(clause: Clause) -> str:
    return clause.path or "the incident"


def _is_smaller(one: RuleExplanation) -> bool:
    """Tell whether the pattern is what should rather change: the incident cannot, or needs more changes."""
    if one.change is None or one.pattern_change is None:
        return True
    clauses = len(one.pattern_change.changes)
    return clauses < len(one.change.edits) or (clauses == 1 and one.change.cost >= SUBJECT_COST)


def _gate_lines(gates: Sequence[JsonValue]) -> list[Text]:
    """Return one line for the gates that allow, and one for each that holds; or why none was asked."""
    if not gates:
        why = "the gate was not asked: the incident does not say its site_id, target_id and check_id"
        return [Text(why, style="yellow")]
    rows = [gate for gate in gates if isinstance(gate, dict)]
    lines = [
        Text(f"gate {gate['gate']}: holds{_until(gate)}: {gate['reason']}{_clear(gate)}", style="yellow")
        for gate in rows
        if not gate["allows"]
    ]
    allowing = ", ".join(str(gate["gate"]) for gate in rows if gate["allows"])
    return [*lines, Text(f"the gate allows it: {allowing}", style="dim")] if allowing else lines


def _until(gate: Mapping[str, JsonValue]) -> str:
    return f" until {gate['until']}" if gate["until"] else ""


def _clear(gate: Mapping[str, JsonValue]) -> str:
    return f" (to clear: {gate['clear_with']})" if gate["clear_with"] else ""
