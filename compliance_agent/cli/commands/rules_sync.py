"""``compliance-agent rules sync``: look for signed rules of the control plane now."""

from __future__ import annotations

from random import SystemRandom
from typing import TYPE_CHECKING

import click

from compliance_agent.adapters.clock import SystemClock
from compliance_agent.adapters.synced_rules import read_checked
from compliance_agent.app.content import load_content
from compliance_agent.app.rule_sync import RuleSync, signed_rules_of
from compliance_agent.cli.common import ProgressEvents, config_option, settings_for
from compliance_agent.cli.exits import Exit
from compliance_agent.cli.output import Format, format_option, plural, print_json
from compliance_agent.domain.rule import RuleSource
from compliance_agent.errors import ComplianceAgentError

if TYPE_CHECKING:
    from pathlib import Path

_OF_CONTROL_PLANE = (RuleSource.SYNCED, RuleSource.PROMOTED)


@click.command("sync", help="Look for signed rules of the control plane now; a running agent takes new ones up.")
@config_option
@format_option
def command(config: Path | None, output: str) -> int:
    """Look once; exit code 1 when there was no answer, or one that must not be believed."""
    settings = settings_for(config)
    rules = signed_rules_of(settings)
    if rules is None or settings.state_dir is None or settings.control_plane is None:
        raise ComplianceAgentError(
            "these settings take no rules from a control plane",
            hint="add control_plane:, then: compliance-agent enroll",
        )
    events, now = ProgressEvents(0, verbose=False), SystemClock().now()
    sync = RuleSync(settings.state_dir, rules, settings.control_plane.sync_interval_s, events, SystemRandom())
    look = rules.look(now=now)
    try:
        changed = sync.take_up(look, now)
    except OSError as error:
        raise ComplianceAgentError(
            f"{error.filename or 'the rules'} cannot be written: {error.strerror}", hint="what was in force stays"
        ) from error
    content, checked = load_content(settings), read_checked(settings.state_dir)
    mine = [rule for rule in content.rules.rules if rule.source in _OF_CONTROL_PLANE]
    aside = [rule for rule in content.quarantined if rule.source in _OF_CONTROL_PLANE]
    version = checked.version if checked else 0
    if output != Format.TABLE:
        print_json(
            {
                "changed": changed,
                "trouble": look.trouble or None,
                "version": version,
                "rules": len(mine),
                "tried": len(content.tried),
                "quarantined": len(aside),
            }
        )
    else:
        click.echo(look.trouble or ("New rules are in force." if changed else "The rules are up to date."))
        click.echo(
            f"State {version}: {plural(len(mine), 'rule')} in force, {len(content.tried)} tried out elsewhere, "
            f"{len(aside)} set aside (compliance-agent rules list)."
        )
    return Exit.ERROR if look.trouble else Exit.CLEAN
