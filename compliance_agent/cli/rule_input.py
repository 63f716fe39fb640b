"""Rules for commands that judge recorded incidents: a rule file alone, or those of the settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compliance_agent.adapters.input_files import read_input
from compliance_agent.app.content import load_content
from compliance_agent.app.long_lived import long_lived
from compliance_agent.cli.common import settings_for
from compliance_agent.domain.rule import RuleSource
from compliance_agent.domain.rule_set import RuleSet
from compliance_agent.domain.text import one_line
from compliance_agent.wire.document import read_document
from compliance_agent.wire.rule_document import merge_rules, read_rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from compliance_agent.domain.rule import QuarantinedRule, Rule


@dataclass(frozen=True, slots=True)
class LoadedRules:
    """Rules in force, and those set aside with the reason."""

    rules: RuleSet
    aside: tuple[QuarantinedRule, ...]

    def find(self, rule_id: str) -> Rule | None:
        """Return a rule of that id, disabled ones included."""
        return next((rule for rule in self.rules.rules if rule.rule_id == rule_id), None)

    def why_not(self, rule_id: str) -> str:
        """Return why there is no rule of that id in force, and what to do."""
        aside = next((rule for rule in self.aside if rule.rule_id == rule_id), None)
        if aside is not None:
            return f"it is set aside: {one_line(aside.reason)}"
        from compliance_agent.wire.validation import did_you_mean

        known = [rule.rule_id for rule in self.rules.rules]
        hint = did_you_mean(rule_id, known)
        return hint if hint.startswith("did you mean") else "see compliance-agent rules list"


def rules_file_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--rules FILE``; it arrives as ``rules_path: Path | None``."""
    return click.option(
        "--rules",
        "rules_path",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Only the rules of this file, JSON or YAML; needs no settings.",
    )(function)


def read_rule_file(path: Path) -> LoadedRules:
    """Read one rule file by itself. Runbooks are not looked at: an action need only be ``prefix:argument``.

    A file that begins with a brace is JSON whatever its name: numbers are exact there.

    Raises:
        InputError: It cannot be read, or is no rules document. A rule that cannot be understood is
            set aside, as on an appliance.

    """
    with long_lived():
        document = read_document(read_input(path), source=str(path), by_content=True)
        read, quarantined = read_rules(document, source=RuleSource.LOCAL)
        kept, repeated = merge_rules(read)
        return LoadedRules(RuleSet(kept), (*quarantined, *repeated))


def rules_in_force(rules_path: Path | None, config: Path | None, *, local: bool) -> LoadedRules:
    """Return the rules of the file, or else those of the settings.

    Raises:
        click.UsageError: A rule file was named beside settings, or nothing names any rules.
        InputError: A file is malformed.

    """
    if rules_path is None:
        content = load_content(settings_for(config, local=local))
        return LoadedRules(content.rules, content.quarantined)
    refuse_settings(config, local=local)
    return read_rule_file(rules_path)


def refuse_settings(config: Path | None, *, local: bool) -> None:
    """Refuse settings beside ``--rules FILE``.

    Raises:
        click.UsageError: ``-c`` or ``--local`` was given.

    """
    if local or config is not None:
        raise click.UsageError("--rules takes the place of the settings' rules: leave out --config and --local.")


def warn_of(aside: tuple[QuarantinedRule, ...]) -> None:
    """Tell on standard error which rules are set aside."""
    for rule in aside:
        text = f"{rule.place}: rule {rule.rule_id} is set aside: {rule.reason}"
        click.echo(f"warning: {one_line(text)}", err=True)
