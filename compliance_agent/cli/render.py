"""Turns as a command writes them: one place for table, JSON and ndjson, scrubbed like everything that is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rich.markup import escape

from compliance_agent.adapters.store.codec import clean_observation, clean_outcome
from compliance_agent.cli.documents import check_rows, turns_document
from compliance_agent.cli.output import Format, out_console, print_json, print_ndjson
from compliance_agent.cli.standing import NOTHING_STANDS
from compliance_agent.cli.tables import show_turns, summary_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compliance_agent.cli.standing import Standing
    from compliance_agent.domain.catalogue import Catalogue
    from compliance_agent.engine.cycle import Turn
    from compliance_agent.engine.plan import PlanItem


def write_turns(
    turns: Sequence[Turn],
    catalogue: Catalogue,
    *,
    command: str,
    output: str,
    with_plan: bool = True,
    footer: Sequence[str] = (),
    standing: Standing = NOTHING_STANDS,
) -> None:
    """Write the turns to standard output; ``footer`` lines follow a table only.

    What people have decided (``standing``: waivers, a pause) is part of every report.
    """
    shown = [presentable(turn) for turn in turns]
    if output == Format.JSON:
        print_json(turns_document(shown, catalogue, command=command, standing=standing))
    elif output == Format.NDJSON:
        print_ndjson(check_rows(shown, catalogue))
    else:
        console = out_console()
        show_turns(console, shown, catalogue, with_plan=with_plan)
        console.print()
        for line in standing.lines():
            console.print(escape(line), style="yellow")
        console.print(escape(summary_line(shown)))
        for line in footer:
            console.print(escape(line))


def presentable(turn: Turn) -> Turn:
    """Return the turn without what looks like a secret, as the store and the log would have it."""
    scan = replace(turn.scan, observations=tuple(clean_observation(seen) for seen in turn.scan.observations))
    items = tuple(_presentable_item(item) for item in turn.items)
    return replace(turn, scan=scan, items=items, outcomes=tuple(clean_outcome(one) for one in turn.outcomes))


def _presentable_item(item: PlanItem) -> PlanItem:
    seen = clean_observation(item.observation)
    return replace(item, observation=seen, incident=replace(item.incident, facts=seen.facts))
