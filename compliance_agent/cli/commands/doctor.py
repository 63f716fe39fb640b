"""``compliance-agent doctor``: what is missing or wrong on this appliance, and what to do about it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from compliance_agent.adapters.clock import SystemClock
from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.evidence_key import read_key
from compliance_agent.adapters.store.read_only import open_read_only
from compliance_agent.adapters.synced_rules import TRUSTED_ROOT, read_checked, synced_folder
from compliance_agent.adapters.version import version
from compliance_agent.app.assemble import state_path
from compliance_agent.app.channels import channel_names
from compliance_agent.app.content import load_content
from compliance_agent.app.evidence import key_store
from compliance_agent.cli.common import refuse_both, settings_for, settings_options
from compliance_agent.cli.exits import Exit
from compliance_agent.cli.output import Format, format_option, plural, print_json, print_ndjson
from compliance_agent.domain.target import TransportKind
from compliance_agent.errors import ComplianceAgentError, CredentialError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from compliance_agent.adapters.store.evidence_reads import EvidenceStatus
    from compliance_agent.app.content import Content
    from compliance_agent.app.settings import Settings
    from compliance_agent.domain.json_value import JsonValue

_RULES_OLD = timedelta(hours=1)
_FREE_BYTES_MIN = 256 * 1024 * 1024
_TOOLS = ("timeout", "head", "tail", "sed", "grep")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: ``ok``, ``warning`` or ``error``, and the remedy."""

    state: str
    what: str
    hint: str = ""

    def row(self) -> dict[str, JsonValue]:
        """Return it for programs."""
        return {"state": self.state, "what": self.what, "hint": self.hint}


@click.command("doctor", help="Look for what is missing or wrong on this appliance.")
@settings_options
@format_option
def command(config: Path | None, output: str, *, local: bool) -> int:
    """Look at everything that needs no network; exit 1 when something is wrong."""
    refuse_both(config, local=local)
    findings = list(_look(config, local=local))
    if output == Format.JSON:
        print_json({"findings": [finding.row() for finding in findings]})
    elif output == Format.NDJSON:
        print_ndjson(finding.row() for finding in findings)
    else:
        for finding in findings:
            mark = {"ok": "✓", "warning": "!", "error": "✗"}[finding.state]
            click.echo(f"{mark} {finding.state:7} {finding.what}")
            if finding.hint:
                click.echo(f"            {finding.hint}")
    return Exit.ERROR if any(finding.state == "error" for finding in findings) else Exit.CLEAN


def _look(config: Path | None, *, local: bool) -> Iterator[Finding]:
    yield Finding("ok", f"compliance-agent {version()}")
    yield from _tools()
    try:
        settings = settings_for(config, local=local)
        content = load_content(settings)
    except click.UsageError as error:
        yield Finding("error", error.message, "start with: compliance-agent config example")
        return
    except ComplianceAgentError as error:
        yield from (Finding("error", line) for line in error.message.splitlines())
        return
    yield Finding("ok", f"settings {settings.source or '(built in)'}: {plural(len(settings.targets()), 'target')}")
    yield from _content(content)
    yield from _credentials(settings)
    yield from _host_keys(settings)
    yield from _synced(settings, SystemClock().now())
    if settings.state_dir is not None:
        yield from _state(settings)
        yield from _channels(settings)


def _tools() -> Iterator[Finding]:
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        yield Finding("error", f"this machine lacks {', '.join(missing)}", "install coreutils, sed and grep")


def _content(content: Content) -> Iterator[Finding]:
    yield Finding("ok", f"{plural(len(content.catalogue), 'runbook')}, {plural(len(content.rules), 'rule')}")
    for rule in content.quarantined:
        yield Finding("warning", f"rule {rule.rule_id} ({rule.action}) is set aside: {rule.reason}", rule.place)
    named = {rule.action.argument for rule in content.rules.rules if rule.enabled}
    for compiled in content.catalogue:
        if compiled.runbook.remediate is not None and compiled.id not in named:
            yield Finding("warning", f"no rule uses the remedy of {compiled.id}", "write a rule for it")


def _credentials(settings: Settings) -> Iterator[Finding]:
    reader = CredentialReader()
    for target in settings.targets():
        for purpose, path in (
            ("private key", target.identity_file),
            ("login password", target.password_file),
            ("sudo password", target.become_password_file),
        ):
            if path is None:
                continue
            try:
                reader.read(path, purpose=purpose)
            except ComplianceAgentError as error:
                yield Finding("error", f"{target.target_id}: {error.message}", error.hint)
    if settings.control_plane is not None:
        try:
            reader.read_password(settings.control_plane.token_file, purpose="control plane token")
        except ComplianceAgentError as error:
            yield Finding("error", f"control plane: {error.message}", error.hint)


def _synced(settings: Settings, now: datetime) -> Iterator[Finding]:
    control_plane, state_dir = settings.control_plane, settings.state_dir
    if control_plane is None or state_dir is None or not control_plane.sync_rules:
        return
    if not (synced_folder(state_dir) / TRUSTED_ROOT).exists():
        yield Finding(
            "warning",
            "no root for rules of the control plane is pinned: none are taken",
            "enrol: compliance-agent enroll, or say control_plane.sync_rules: false",
        )
        return
    checked = read_checked(state_dir)
    if checked is None or not checked.good_at:
        trouble = f": {checked.trouble}" if checked and checked.trouble else ""
        yield Finding("warning", f"the control plane's rules were never seen{trouble}", "compliance-agent rules sync")
        return
    age = now - datetime.fromisoformat(checked.good_at)
    if checked.trouble and age > _RULES_OLD:
        yield Finding(
            "warning",
            f"the control plane's rules are of {checked.good_at}: {checked.trouble}",
            "the last good rules stay in force; compliance-agent rules sync tries again",
        )
        return
    yield Finding("ok", f"rules of the control plane: state {checked.version}, up to date at {checked.good_at}")


def _host_keys(settings: Settings) -> Iterator[Finding]:
    over_ssh = [target for target in settings.targets() if target.transport is TransportKind.SSH]
    if not over_ssh:
        return
    from compliance_agent.adapters.known_hosts import KnownHosts

    known = KnownHosts.load(settings.known_hosts_paths)
    for target in over_ssh:
        if not known.keys_for(target.host, target.port).keys:
            yield Finding(
                "error",
                f"{target.target_id}: no host key is pinned for {target.address}",
                "pin it: compliance-agent targets add, or a line in known_hosts",
            )


def _state(settings: Settings) -> Iterator[Finding]:
    path = state_path(settings)
    if path.exists():
        try:
            with open_read_only(path) as store:
                counts, restorations, trouble = store.counts(), store.restorations(), store.uplink().trouble
                evidence = store.evidence.status()
        except ComplianceAgentError as error:
            yield Finding("error", error.message, error.hint)
            return
        yield Finding("ok", f"state {path}: {plural(counts.open_incidents, 'open incident')}")
        yield from (Finding("warning", f"{one.at:%Y-%m-%d %H:%M} UTC: {one.summary}") for one in restorations)
        yield from _evidence(settings, evidence)
        dead = sum(one.dead for one in counts.outbox.values())
        if dead:
            yield Finding(
                "warning", f"the control plane refused {plural(dead, 'report')} for good", "see: spool dead list"
            )
        if settings.control_plane is not None and trouble:
            yield Finding("warning", f"reports do not get through: {trouble}", "see: spool status")
        elif settings.control_plane is not None:
            yield Finding("ok", f"reports go to {settings.control_plane.url}")
        if counts.unfinished_attempts:
            yield Finding(
                "warning", f"{plural(counts.unfinished_attempts, 'attempt')} under way, or cut off by a crash"
            )
    else:
        yield Finding("ok", f"state {path}: not there yet; the first run makes it")
    parent = next(folder for folder in (path.parent, *path.parents) if folder.exists())
    if not os.access(parent, os.W_OK):
        yield Finding("warning", f"{parent} cannot be written by this user", "run apply and run as the agent's user")
    free = shutil.disk_usage(parent).free
    if free < _FREE_BYTES_MIN:
        yield Finding("error", f"only {free >> 20} MiB are free at {parent}", "make room: a full disk loses reports")


def _evidence(settings: Settings, status: EvidenceStatus) -> Iterator[Finding]:
    """Look whether evidence can be signed, without changing anything."""
    if status.head is None:
        return
    keys = key_store(settings.evidence, state_path(settings).parent)
    try:
        found = read_key(keys.path).key_id
    except CredentialError as error:
        yield Finding("error", error.message, error.hint)
    else:
        if found == status.key_id or keys.next_path.exists():
            yield Finding("ok", f"evidence: {plural(status.entries, 'entry', 'entries')}, key {status.key_id[:16]}…")
        else:
            hint = "restore the right key, or see: evidence replace-key --help"
            yield Finding("error", f"the evidence key {keys.path} is not the one that the chain goes on with", hint)
    if status.refused:
        text = f"{plural(status.refused, 'entry', 'entries')} of evidence could not be made safe to sign"
        yield Finding("warning", text, "see: evidence list --kind refused")


def _channels(settings: Settings) -> Iterator[Finding]:
    names = channel_names(settings)
    if names:
        yield Finding("ok", f"alerts go to {', '.join(names)}")
    else:
        yield Finding("warning", "no alert channel is configured", "set alerts.webhook, alerts.smtp or alerts.syslog")
