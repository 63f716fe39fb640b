"""Settings of SSH: deadlines, what is kept, and the ways through jump hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from pydantic import Field

from compliance_agent.domain.runbook import Model
from compliance_agent.domain.target import TransportKind
from compliance_agent.wire.target_document import TargetEntry
from compliance_agent.wire.way_entry import JumpHostEntry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from compliance_agent.domain.target import Target
    from compliance_agent.errors import InputProblem
    from compliance_agent.wire.located import Located, Path

WayEntry: TypeAlias = TargetEntry | JumpHostEntry


class SshSettings(Model):
    """Connections over SSH."""

    connect_timeout_s: int = Field(default=10, ge=1, le=300, description="To reach the machine.")
    banner_timeout_s: int = Field(default=10, ge=1, le=300, description="For the server to say that it speaks SSH.")
    auth_timeout_s: int = Field(default=15, ge=1, le=300, description="To log in.")
    channel_timeout_s: int = Field(default=10, ge=1, le=300, description="To start a command.")
    keepalive_s: int = Field(default=30, ge=0, le=3_600, description="Between two signs of life; 0 sends none.")
    idle_limit_s: int = Field(
        default=300, ge=0, le=86_400, description="A connection unused for so long is closed; 0 keeps none."
    )
    relogin_s: int = Field(
        default=3_600, ge=1, le=86_400, description="No connection is used longer than this after its login."
    )
    kept_max: int = Field(default=512, ge=1, le=4_096, description="Most connections kept for the next scan.")
    jump_hosts: tuple[JumpHostEntry, ...] = Field(
        default=(), strict=False, description="Machines that are only gone through."
    )


def resolved_targets(
    entries: Sequence[TargetEntry], jump_hosts: Sequence[JumpHostEntry], site_id: str
) -> tuple[Target, ...]:
    """Return the domain's targets, each with the jump host that its ``via`` names (``way_problems`` judged them)."""
    ways = _ways(entries, jump_hosts)

    def resolve(entry: WayEntry) -> Target:
        return entry.target(site_id, resolve(ways[entry.via]) if entry.via else None)

    return tuple(resolve(entry) for entry in entries)


def way_problems(
    document: Located,
    entries: Sequence[TargetEntry],
    jump_hosts: Sequence[JumpHostEntry],
    known: Sequence[TargetEntry] | None = None,
) -> list[InputProblem]:
    """Return what is wrong with ``via`` in a document.

    Args:
        document: The settings, or the managed targets file.
        entries: Its targets.
        jump_hosts: Those of the settings.
        known: All targets that may be named, where that is more than ``entries``.

    """
    ways = _ways(known or entries, jump_hosts)
    problems: list[InputProblem] = []
    places: list[tuple[Path, WayEntry]] = [(("targets", index), entry) for index, entry in enumerate(entries)]
    if known is None:
        taken = {entry.id for entry in entries}
        for index, jump_host in enumerate(jump_hosts):
            path: Path = ("ssh", "jump_hosts", index)
            places.append((path, jump_host))
            if jump_host.id in taken:
                message = f"the id {jump_host.id} stands twice, for a jump host too"
                problems.append(document.problem((*path, "id"), message, "give one of them another id"))
            taken.add(jump_host.id)
            if not jump_host.identity_file and not jump_host.password_file:
                hint = "add identity_file (path of a private key), or password_file"
                problems.append(document.problem(path, "a jump host needs a credential", hint))
    for path, entry in places:
        trouble = _trouble(entry, ways)
        if trouble:
            hint = "name a jump host of ssh.jump_hosts, or another target over ssh"
            problems.append(document.problem((*path, "via"), trouble, hint))
    return problems


def _ways(entries: Sequence[TargetEntry], jump_hosts: Sequence[JumpHostEntry]) -> Mapping[str, WayEntry]:
    return {entry.id: entry for entry in entries} | {jump_host.id: jump_host for jump_host in jump_hosts}


def _trouble(entry: WayEntry, ways: Mapping[str, WayEntry]) -> str:
    if isinstance(entry, TargetEntry) and entry.way is not TransportKind.SSH:
        return ""  # that it takes no via is told already
    passed = {entry.id}
    while entry.via:
        found = ways.get(entry.via)
        if found is None:
            return f"{entry.via} is no target and no jump host"
        if isinstance(found, TargetEntry) and found.way is not TransportKind.SSH:
            return f"{entry.via} is not reached over ssh"
        if found.id in passed:
            return f"the way through {entry.via} leads back to where it began"
        passed.add(found.id)
        entry = found
    return ""
