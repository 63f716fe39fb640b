"""What the commands of people share: the state opened for writing, the actor, the place that an argument names."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from compliance_agent.adapters.clock import SystemClock
from compliance_agent.app.assemble import Access, assemble
from compliance_agent.app.people import People
from compliance_agent.cli.common import ProgressEvents, actor, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from compliance_agent.app.assemble import Agent
    from compliance_agent.domain.timeline import Instant


def reason_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--reason TEXT``; it arrives as ``reason: str``."""
    return click.option("--reason", required=True, help="Why; kept with your name.")(function)


@contextmanager
def acting(config: Path | None, reason: str) -> Iterator[tuple[Agent, People, Instant]]:
    """Open the state for writing, beside a daemon that may run, and act for whoever types."""
    settings = settings_for(config)
    with assemble(settings, access=Access.WRITE, events=ProgressEvents(0, verbose=False)) as agent:
        now = agent.engine.instant(SystemClock().read())
        yield agent, People(agent, actor=actor(), reason=reason, now=now), now


@contextmanager
def looking(config: Path | None) -> Iterator[tuple[Agent, Instant]]:
    """Open the state for reading."""
    settings = settings_for(config)
    with assemble(settings, access=Access.READ, events=ProgressEvents(0, verbose=False)) as agent:
        yield agent, agent.engine.instant(SystemClock().read())


def place_of(agent: Agent, text: str) -> tuple[str, str]:
    """Return target and check of ``TARGET/CHECK``, or a target alone with an empty check.

    Raises:
        click.UsageError: There is no such target or check.

    """
    target_id, _, check_id = text.partition("/")
    known = sorted(target.target_id for target in agent.settings.targets())
    if target_id not in known:
        raise click.UsageError(f"there is no target {target_id}; known: {', '.join(known) or 'none'}.")
    if check_id and agent.engine.catalogue.get(check_id) is None:
        raise click.UsageError(f"there is no check {check_id}; compliance-agent runbooks list shows them.")
    return target_id, check_id


def check_place_of(agent: Agent, text: str) -> tuple[str, str]:
    """Return target and check of ``TARGET/CHECK``.

    Raises:
        click.UsageError: It is none.

    """
    target_id, check_id = place_of(agent, text)
    if not check_id:
        raise click.UsageError(f"{text} names no check; write it like {target_id}/LIN-SSH-001.")
    return target_id, check_id
