"""Take up changed settings without a restart: ``targets add`` and an edited file are seen within seconds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from compliance_agent.adapters.synced_rules import active_path
from compliance_agent.adapters.target_files import managed_targets_path
from compliance_agent.app.assemble import rebuild
from compliance_agent.app.daemon import Schedule, Work
from compliance_agent.app.settings import load_settings
from compliance_agent.errors import ComplianceAgentError

if TYPE_CHECKING:
    from compliance_agent.app.assemble import Agent
    from compliance_agent.app.settings import Settings


_FIXED: Final = ("state_dir", "log", "schedule.workers", "alerts.repeat_s", "outbox")
"""Settings that are read at the start only."""


class Reloader:
    """Watches the settings file, the managed targets, local rules and runbooks, and synced rules, by time and size."""

    def __init__(self, settings: Settings, agent: Agent) -> None:
        """Remember how the files look now."""
        self._settings = self._started_with = settings
        self._agent = agent
        self._engine = agent.engine
        self._seen = self._look()
        self._forced = False
        self._refused = ""

    def work(self) -> Work:
        """Return what the daemon works with now."""
        schedule = self._settings.schedule
        return Work(
            self._engine,
            self._settings.targets(),
            Schedule(schedule.linux_interval_s, float(schedule.jitter), schedule.workers, schedule.windows_interval_s),
        )

    def force(self) -> None:
        """Ask for a reload at the next look; safe in a signal handler."""
        self._forced = True

    def changed(self) -> Work | None:
        """Return new work when a file changed; a file that is wrong changes nothing, and is told once."""
        seen = self._look()
        if seen == self._seen and not self._forced:
            return None
        self._seen, self._forced = seen, False
        try:
            settings = load_settings(Path(self._settings.source))
            self._engine = rebuild(self._agent, settings)
        except ComplianceAgentError as error:
            self._forced = True  # what it names may be made in a moment: it is tried again at each look
            if error.message != self._refused:
                self._refused = error.message
                self._agent.engine.events.emit("settings.refused", error=error.message, hint="the last good ones go on")
            return None
        self._refused = ""
        held = [name for name in _FIXED if _value(settings, name) != _value(self._started_with, name)]
        if held:
            self._agent.engine.events.emit("settings.need_restart", settings=held, hint="restart to take them up")
        self._settings = settings
        return self.work()

    def _look(self) -> tuple[tuple[str, int, int, int], ...]:
        files = [Path(self._settings.source), *self._settings.rule_paths, *self._settings.runbook_paths]
        files += self._settings.known_hosts_paths
        if self._settings.state_dir is not None:
            files += [managed_targets_path(self._settings.state_dir), active_path(self._settings.state_dir)]
        return tuple(_stamp(file) for path in files for file in _files_of(path))


def _value(settings: Settings, name: str) -> object:
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _files_of(path: Path) -> list[Path]:
    try:
        return [path, *sorted(path.rglob("*"))] if path.is_dir() else [path]
    except OSError:
        return [path]


def _stamp(path: Path) -> tuple[str, int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return (str(path), 0, 0, 0)
    return (str(path), status.st_ino, status.st_mtime_ns, status.st_size)
