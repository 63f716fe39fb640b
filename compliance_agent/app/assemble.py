"""Assembly: settings -> a running engine. The only place that knows every adapter."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.ids import RandomIds
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.rule_files import builtin_rules_path, load_rule_files, merge_rules
from compliance_agent.adapters.runbook_files import builtin_runbooks_path, load_catalogue
from compliance_agent.adapters.store.memory import MemoryStore
from compliance_agent.adapters.store.read_only import open_read_only
from compliance_agent.adapters.store.sqlite import SqliteStore
from compliance_agent.adapters.transports.local import LocalTransport
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.domain.rule import QuarantinedRule, RuleSet, RuleSource
from compliance_agent.domain.target import TransportKind
from compliance_agent.engine.admission import admit
from compliance_agent.engine.context import Engine, Limits
from compliance_agent.errors import InputError, InputProblem, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from compliance_agent.app.settings import Settings
    from compliance_agent.domain.catalogue import Catalogue
    from compliance_agent.engine.ports import Events, Store, Transport


class Access(Enum):
    """What a command may do with the durable state."""

    NONE = "none"
    """An empty memory: nothing is read, nothing is kept."""
    READ = "read"
    """Read what is there; create, change and lock nothing."""
    WRITE = "write"
    """The one writer: the state file is created where needed, and held by a lock."""


@dataclass(frozen=True, slots=True)
class Content:
    """What the appliance can do: runbooks, admitted rules, and rules set aside."""

    catalogue: Catalogue
    rules: RuleSet
    quarantined: tuple[QuarantinedRule, ...]


def load_content(settings: Settings) -> Content:
    """Read runbooks and rules and judge them against each other.

    Raises:
        InputError: A file is malformed. A rule that is merely unusable is quarantined instead.

    """
    catalogue = load_catalogue([builtin_runbooks_path(), *settings.runbook_paths])
    local, bad_local = load_rule_files(settings.rule_paths, RuleSource.LOCAL)
    builtin, bad_builtin = load_rule_files([builtin_rules_path()], RuleSource.BUILTIN)
    merged, replaced = merge_rules([*local, *builtin])
    rules, refused = admit(merged, catalogue)
    return Content(catalogue, rules, (*bad_local, *bad_builtin, *replaced, *refused))
