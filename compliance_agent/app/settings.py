"""The settings file: typed, every error at once with its place, and where each value comes from.

``docs/reference/settings.md`` documents every key; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, ValidationError, WithJsonSchema

from compliance_agent.adapters.input_files import read_input
from compliance_agent.adapters.target_files import (
    holds_managed_known_hosts,
    managed_known_hosts_path,
    read_managed_document,
    read_managed_targets,
)
from compliance_agent.app.alert_settings import AlertSettings
from compliance_agent.app.control_plane_settings import ControlPlaneSettings, OutboxSettings, SnapshotSettings
from compliance_agent.app.evidence import EvidenceSettings
from compliance_agent.app.gate_settings import GateSettings
from compliance_agent.app.parameter_checks import table_problems
from compliance_agent.app.ssh_settings import SshSettings, resolved_targets, way_problems
from compliance_agent.domain.runbook import Model
from compliance_agent.domain.target import Mode, TransportKind
from compliance_agent.errors import InputError
from compliance_agent.wire.document import read_document
from compliance_agent.wire.located import Located, render_path
from compliance_agent.wire.target_document import (
    ModeText,
    ParameterTable,
    RunbookId,
    TargetEntry,
    secret_problems,
    target_problems,
    without_repeats,
)
from compliance_agent.wire.validation import RefusedError, problems_of
from compliance_agent.wire.way_entry import BASE, place_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationInfo

    from compliance_agent.domain.catalogue import Catalogue
    from compliance_agent.domain.gate import GatePolicy
    from compliance_agent.domain.target import Target
    from compliance_agent.errors import InputProblem
    from compliance_agent.wire.located import Path as DocumentPath

STATE_DIR: Final = Path("/var/lib/compliance-agent")
PAUSE_FILE: Final = "PAUSE"
SITE_ID: Final = r"^[a-z0-9][a-z0-9-]{0,62}$"
LOCAL_TARGET_ID: Final = "this-machine"


def _as_path(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str):
        return Path(place_path(value, info))
    return value


def _absolute(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str) and not value.startswith("/"):
        raise RefusedError(f"got {value!r}, need an absolute path", "write it from / on")
    return _as_path(value, info)


def _as_decimal(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise RefusedError("needs a number", "write it like 0.1")
    return Decimal(value)


_JITTER_SCHEMA: Final = {"type": "number", "minimum": 0, "maximum": 0.5}

FilePath = Annotated[Path, BeforeValidator(_as_path)]


class RuleSettings(Model):
    """Local rules."""

    paths: tuple[FilePath, ...] = Field(
        default=(), strict=False, description="Rule files, or folders of them, beside the built-in rules."
    )


class RunbookSettings(Model):
    """Runbooks."""

    paths: tuple[FilePath, ...] = Field(
        default=(), strict=False, description="Folders of runbooks beside the built-in ones."
    )
    modes: dict[RunbookId, ModeText] = Field(
        default_factory=dict, description="Mode of single runbooks; observe anywhere wins."
    )
    parameters: ParameterTable = Field(
        default_factory=dict, description="Parameter values for all targets: runbook id, then name and value."
    )


class ScheduleSettings(Model):
    """When the daemon scans."""

    linux_interval_s: int = Field(default=120, ge=5, le=604_800, description="Pause between scans of a Linux target.")
    windows_interval_s: int = Field(
        default=300, ge=5, le=604_800, description="Pause between scans of a Windows target."
    )
    jitter: Annotated[Decimal, BeforeValidator(_as_decimal), WithJsonSchema(_JITTER_SCHEMA)] = Field(
        default=Decimal("0.1"),
        ge=0,
        le=Decimal("0.5"),
        description="Random part of that pause, so that scans spread out.",
        json_schema_extra={"default": 0.1},
    )
    workers: int = Field(default=16, ge=1, le=256, description="Targets worked on at the same time.")


class WinRmSettings(Model):
    """Connections over WinRM."""

    connect_timeout_s: int = Field(default=10, ge=1, le=300, description="To reach the machine.")
    operation_timeout_s: int = Field(
        default=20, ge=1, le=60, description="Longest that one question waits at the machine; Windows takes 60 at most."
    )


class ScanSettings(Model):
    """Limits of a scan."""

    timeout_s: int = Field(default=120, ge=5, le=3_600, description="For all checks of one target together.")
    output_max_bytes: int = Field(
        default=65_536, ge=1_024, le=1_048_576, description="Most output kept of one check; more makes it an error."
    )


class LogSettings(Model):
    """What the agent says of itself, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least severity logged.")
    format: Literal["json", "console"] = Field(default="json", description="json for machines, console for people.")


def _refuse_none(value: object, info: ValidationInfo) -> object:
    if value is None and not (info.context or {}).get("stateless"):
        raise RefusedError("needs a folder", f"leave the key out for {STATE_DIR}")
    return value


class Settings(Model):
    """All settings; what a file leaves out has its default."""

    site_id: str = Field(pattern=SITE_ID, description="The clinic that this agent belongs to.")
    mode: ModeText = Field(
        default=Mode.ENFORCE, description="observe never changes any machine; observe anywhere wins."
    )
    state_dir: Annotated[Path | None, BeforeValidator(_absolute), AfterValidator(_refuse_none)] = Field(
        default=STATE_DIR, description="Folder of the state file, the managed targets and their host keys."
    )
    known_hosts: FilePath | None = Field(
        default=None, description="Pinned host keys, as OpenSSH writes them, beside the managed ones in state_dir."
    )
    rules: RuleSettings = Field(default_factory=RuleSettings, description="Local rules.")
    runbooks: RunbookSettings = Field(default_factory=RunbookSettings, description="Runbooks.")
    gate: GateSettings = Field(default_factory=GateSettings, description="When healing must wait.")
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings, description="When the daemon scans.")
    ssh: SshSettings = Field(default_factory=SshSettings, description="Connections over SSH.")
    winrm: WinRmSettings = Field(default_factory=WinRmSettings, description="Connections over WinRM.")
    scan: ScanSettings = Field(default_factory=ScanSettings, description="Limits of a scan.")
    alerts: AlertSettings = Field(default_factory=AlertSettings, description="Where alerts go.")
    control_plane: ControlPlaneSettings | None = Field(
        default=None, description="Where reports go; without it nothing is reported."
    )
    evidence: EvidenceSettings = Field(default_factory=EvidenceSettings, description="What is kept as proof.")
    outbox: OutboxSettings = Field(default_factory=OutboxSettings, description="How much may wait to be reported.")
    snapshot: SnapshotSettings = Field(
        default_factory=SnapshotSettings, description="The copy from which a damaged state file is restored."
    )
    log: LogSettings = Field(default_factory=LogSettings, description="What the agent says of itself.")
    entries: tuple[TargetEntry, ...] = Field(default=(), alias="targets", strict=False, description="The machines.")

    _documents: tuple[Located, ...] = PrivateAttr(default=())
    _managed: tuple[TargetEntry, ...] = PrivateAttr(default=())

    @property
    def source(self) -> str:
        """Return the settings file's name; empty when there is none."""
        return self._documents[0].source if self._documents else ""

    @property
    def rule_paths(self) -> tuple[Path, ...]:
        """Return the local rule files and folders, absolute."""
        return self.rules.paths

    @property
    def runbook_paths(self) -> tuple[Path, ...]:
        """Return the extra runbook folders, absolute."""
        return self.runbooks.paths

    @property
    def known_hosts_paths(self) -> tuple[Path, ...]:
        """Return the files of pinned host keys: the named one, then the managed one (which need not exist)."""
        named = (self.known_hosts,) if self.known_hosts else ()
        return (*named, managed_known_hosts_path(self.state_dir)) if self.state_dir else named

    def targets(self) -> tuple[Target, ...]:
        """Return the targets of the file, then the managed ones."""
        return resolved_targets((*self.entries, *self._managed), self.ssh.jump_hosts, self.site_id)

    def target_places(self) -> dict[str, str]:
        """Return where each target of the settings file stands, by id (for ``targets add``)."""
        document = self._documents[0] if self._documents else Located(None, "(built in)")
        return {entry.id: document.place(("targets", index, "id")) for index, entry in enumerate(self.entries)}

    @property
    def pause_path(self) -> Path | None:
        """Return the kill switch's file; ``None`` without a state folder."""
        if self.gate.pause_file is not None:
            return Path(self.gate.pause_file)
        return self.state_dir / PAUSE_FILE if self.state_dir else None

    def gate_policy(self) -> GatePolicy:
        """Return the gate's limits."""
        return self.gate.policy()

    def origins(self) -> list[tuple[str, str, str]]:
        """Return each effective value as a row: path, value as text, ``file:line`` or ``default``."""
        document = self._documents[0] if self._documents else Located(None, "")
        rows = list(_rows(self.model_dump(mode="json", by_alias=True), document, ()))
        if self._managed:
            managed = {"targets": [entry.model_dump(mode="json", by_alias=True) for entry in self._managed]}
            rows += _rows(managed, self._documents[1], (), shift=len(self.entries))
        return rows


def _rows(value: Any, document: Located, path: DocumentPath, *, shift: int = 0) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401 - any JSON value
    """Yield a row for each leaf; ``shift`` moves the numbers of managed targets behind the file's own."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _rows(item, document, (*path, key), shift=shift)
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _rows(item, document, (*path, index), shift=shift)
    else:
        shown = path
        if shift and isinstance(path[1], int):
            shown = ("targets", path[1] + shift, *path[2:])
        origin = document.place(path) if document.holds(path) else "default"
        yield render_path(shown), _leaf(value), origin


def _leaf(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping | list):
        return "{}" if isinstance(value, Mapping) else "[]"
    return str(value)


def load_settings(path: Path) -> Settings:
    """Read a settings file, and the managed targets of its state folder.

    Args:
        path: YAML, or JSON when it ends in ``.json``. Relative paths in it are relative to its folder.

    Raises:
        InputError: With every problem, in the file's order.

    """
    document = read_document(read_input(path), source=str(path))
    base = str(path.absolute().parent)
    problems = [*secret_problems(document), *target_problems(document)]
    settings = None
    try:
        settings = Settings.model_validate(document.value, context={BASE: base})
    except ValidationError as error:
        problems += problems_of(error, document, model=Settings)
    if settings is not None:
        problems += _merge_managed(settings, document)
        problems += _known_hosts_problems(settings, document)
        problems += way_problems(document, settings.entries, settings.ssh.jump_hosts)
        if len(settings._documents) > 1:  # noqa: SLF001 - this module makes them
            known = (*settings.entries, *settings._managed)  # noqa: SLF001 - as above
            problems += way_problems(settings._documents[1], settings._managed, settings.ssh.jump_hosts, known)  # noqa: SLF001 - as above
    if settings is None or problems:
        raise InputError(without_repeats(problems))
    return settings


def default_settings_for_local() -> Settings:
    """Return the settings for this very machine alone: no file, no state, nothing to alert."""
    value = {"site_id": "local", "state_dir": None, "targets": [{"id": LOCAL_TARGET_ID, "transport": "local"}]}
    return Settings.model_validate(value, context={"stateless": True})


def _merge_managed(settings: Settings, document: Located) -> list[InputProblem]:
    """Take up the managed targets; return what is wrong with them."""
    settings._documents = (document,)  # noqa: SLF001 - this module makes them
    assert settings.state_dir is not None  # noqa: S101 - a file cannot say so
    try:
        managed = read_managed_document(settings.state_dir)
        entries = read_managed_targets(settings.state_dir) if managed is not None else ()
    except InputError as error:
        return list(error.problems)
    if managed is None:
        return []
    settings._managed = entries  # noqa: SLF001 - as above
    settings._documents = (document, managed)  # noqa: SLF001 - as above
    return target_problems(managed, taken=settings.target_places())


def _known_hosts_problems(settings: Settings, document: Located) -> list[InputProblem]:
    """A target over SSH needs pinned host keys: the settings', or those that ``targets add`` keeps."""
    over_ssh = [
        index for index, entry in enumerate(settings.entries) if entry.way is TransportKind.SSH and not entry.host_key
    ]
    if not over_ssh or settings.known_hosts is not None:
        return []
    if settings.state_dir is not None and holds_managed_known_hosts(settings.state_dir):
        return []
    hint = "add known_hosts (path of a file of pinned host keys), or add the machine by: targets add"
    return [document.problem(("targets", over_ssh[0]), "a target over ssh needs pinned host keys", hint)]


def catalogue_problems(settings: Settings, catalogue: Catalogue) -> list[InputProblem]:
    """Return where the settings name unknown runbooks or parameters, or values that a runbook cannot work with."""
    document = settings._documents[0] if settings._documents else Located(None, "")  # noqa: SLF001 - same module
    shared = settings.runbooks.parameters
    problems = list(table_problems(document, ("runbooks", "modes"), settings.runbooks.modes, catalogue, {}))
    problems += table_problems(document, ("runbooks", "parameters"), shared, catalogue, {})
    for index, entry in enumerate(settings.entries):
        problems += table_problems(document, ("targets", index, "parameters"), entry.parameters, catalogue, shared)
    for index, entry in enumerate(settings._managed):  # noqa: SLF001 - same module
        managed = settings._documents[1]  # noqa: SLF001 - same module
        problems += table_problems(managed, ("targets", index, "parameters"), entry.parameters, catalogue, shared)
    return problems
