"""What the appliance can do: the runbooks and rules that it has, judged against each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compliance_agent.adapters.rule_files import builtin_rules_path, load_rule_files
from compliance_agent.adapters.runbook_files import builtin_runbooks_path, load_catalogue
from compliance_agent.adapters.synced_rules import active_path, read_active
from compliance_agent.app.long_lived import long_lived
from compliance_agent.app.settings import catalogue_problems
from compliance_agent.domain.rule import QuarantinedRule, RuleSource
from compliance_agent.engine.admission import admit
from compliance_agent.errors import InputError
from compliance_agent.wire.rule_document import merge_rules
from compliance_agent.wire.synced_rules import SyncedRules, rules_of

if TYPE_CHECKING:
    from compliance_agent.app.settings import Settings
    from compliance_agent.domain.catalogue import Catalogue
    from compliance_agent.domain.rule import Rule
    from compliance_agent.domain.rule_set import RuleSet


@dataclass(frozen=True, slots=True)
class Content:
    """What the appliance can do: runbooks, admitted rules, and rules set aside."""

    catalogue: Catalogue
    rules: RuleSet
    quarantined: tuple[QuarantinedRule, ...]
    tried: tuple[Rule, ...] = ()
    """Rules of the control plane that are tried out elsewhere: they do not act here."""


@long_lived()
def load_content(settings: Settings) -> Content:
    """Read runbooks and rules and judge them against each other.

    Raises:
        InputError: A file is malformed, or the settings name what is not there. A rule that is
            merely unusable is quarantined instead.

    """
    catalogue = load_catalogue([builtin_runbooks_path(), *settings.runbook_paths])
    problems = catalogue_problems(settings, catalogue)
    if problems:
        raise InputError(problems)
    local, bad_local = load_rule_files(settings.rule_paths, RuleSource.LOCAL)
    builtin, bad_builtin = load_rule_files([builtin_rules_path()], RuleSource.BUILTIN)
    synced = load_synced(settings)
    merged, replaced = merge_rules([*local, *builtin, *synced.rules], [*bad_local, *bad_builtin])
    rules, refused = admit(merged, catalogue)
    aside = (*bad_local, *bad_builtin, *synced.quarantined, *replaced, *refused)
    return Content(catalogue, rules, aside, synced.tried)


def load_synced(settings: Settings) -> SyncedRules:
    """Return what the control plane's rules say for this appliance; a damaged file is a rule that is set aside."""
    if settings.state_dir is None or settings.control_plane is None or not settings.control_plane.sync_rules:
        return SyncedRules()
    try:
        bundle = read_active(settings.state_dir)
    except (InputError, OSError) as error:
        place = str(active_path(settings.state_dir))
        said = error.message if isinstance(error, InputError) else f"{place}: {error.strerror or error}"
        return SyncedRules(quarantined=(QuarantinedRule("(all synced rules)", RuleSource.SYNCED, said, place=place),))
    if bundle is None:
        return SyncedRules()
    return rules_of(bundle, site_id=settings.site_id, appliance_id=settings.control_plane.appliance_id)
