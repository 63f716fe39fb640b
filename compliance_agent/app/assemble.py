"""Assembly: settings -> an engine that works. The only place that knows every adapter."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from compliance_agent.adapters.clock import SystemClock
from compliance_agent.adapters.ids import SystemIds
from compliance_agent.adapters.kill_switch import FileKillSwitch
from compliance_agent.adapters.store.memory import MemoryStore
from compliance_agent.adapters.store.read_only import open_read_only
from compliance_agent.adapters.store.rows import DEFAULT_LIMITS
from compliance_agent.adapters.store.sqlite import SqliteStore
from compliance_agent.adapters.synced_rules import TRUSTED_ROOT, synced_folder
from compliance_agent.adapters.version import version
from compliance_agent.app.alert_worker import AlertWorker
from compliance_agent.app.channels import channels_of, uplink_of
from compliance_agent.app.content import load_content
from compliance_agent.app.evidence import ensure_key, key_store, make_recorder
from compliance_agent.app.outbox_worker import OutboxWorker
from compliance_agent.app.reporting import TelemetryReporter, heartbeat
from compliance_agent.app.rule_sync import RuleSync, signed_rules_of
from compliance_agent.app.transports import close_transports, connects_as, make_transports
from compliance_agent.domain.evidence.drafts import restored_draft
from compliance_agent.domain.gate import horizon_s
from compliance_agent.domain.target import Mode, TransportKind
from compliance_agent.domain.timeline import place
from compliance_agent.domain.turn_end import Attachments
from compliance_agent.engine.context import Engine, Limits
from compliance_agent.engine.evidence import EvidenceReporter
from compliance_agent.engine.notices import tell_ending_waivers
from compliance_agent.engine.pause_file import note_pause_file
from compliance_agent.engine.ports import NoKillSwitch
from compliance_agent.engine.recover import interrupt_unfinished
from compliance_agent.engine.reporter import Reporters
from compliance_agent.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from compliance_agent.adapters.store.reads import Reader
    from compliance_agent.adapters.store.rows import Limits as StoreLimits
    from compliance_agent.adapters.store.rows import Restoration
    from compliance_agent.app.content import Content
    from compliance_agent.app.control_plane_settings import ControlPlaneSettings
    from compliance_agent.app.settings import Settings
    from compliance_agent.domain.outcome import Attempt
    from compliance_agent.engine.ports import Events, Transport
    from compliance_agent.engine.reporter import Reporter
    from compliance_agent.wire.evidence.entry import Sealed

STATE_FILE: Final = "state.sqlite"
_PRUNE_EVERY_S: Final = 3_600
_DAY_S: Final = 86_400
_REST_S: Final = 300
"""Seconds that sending and snapshots rest after the state file could not be written: no wait can be kept then."""


class Access(Enum):
    """What a command may do with the durable state."""

    NONE = "none"
    """An empty memory: nothing is read, nothing is kept."""
    READ = "read"
    """Read what is there; create, change and lock nothing."""
    WRITE = "write"
    """Change what is there, beside the one process that runs turns."""
    TURNS = "turns"
    """Be the one process that runs turns; a second one is refused."""


def state_path(settings: Settings) -> Path:
    """Return where the state file is, or would be.

    Raises:
        StoreError: The settings name no state folder.

    """
    if settings.state_dir is None:
        raise StoreError("these settings keep no state", hint="use a settings file: -c FILE")
    return settings.state_dir / STATE_FILE


@dataclass
class Agent:
    """The assembled agent.

    Attributes:
        settings: What it goes by now.
        engine: What runs turns.
        store: The state behind the engine, with its read side.

    """

    settings: Settings
    engine: Engine
    store: MemoryStore | Reader
    _pruned_at: datetime | None = None
    _beat_at: datetime | None = None
    _sending_rests_at: datetime | None = None
    _snapshot_failed_at: datetime | None = None
    _decisions_rest_at: datetime | None = None
    _sync: tuple[ControlPlaneSettings, RuleSync] | None = None

    def recover(self, now: datetime) -> tuple[Attempt, ...]:
        """End what a crash left unfinished as ``interrupted``; it is detected afresh, never blindly repeated."""
        if isinstance(self.store, SqliteStore) and self.store.restored is not None:
            self._tell_of_restoration(self.store, self.store.restored, now)
        attempts = interrupt_unfinished(self.engine.store, now=now, reporter=self.engine.reporter)
        for attempt in attempts:
            self.engine.events.emit(
                "attempt.interrupted", attempt=attempt.attempt_id, target=attempt.target_id, check=attempt.check_id
            )
        return attempts

    def _tell_of_restoration(self, store: SqliteStore, restored: Restoration, now: datetime) -> None:
        self.engine.events.emit("state.restored", summary=restored.summary)
        entry = restored_draft(
            reason=restored.reason,
            kept_as=restored.kept_as,
            snapshot_at=restored.snapshot_at,
            at=now,
            site_id=self.settings.site_id,
        )
        store.attach(Attachments(evidence=(entry,)))

    def deliver_alerts(self) -> None:
        """Send what is due to every configured channel. Never raises; what fails is tried again later."""
        if isinstance(self.store, SqliteStore):
            AlertWorker(self.store, channels_of(self.settings), SystemClock(), SystemRandom()).deliver_due()

    def send_reports(self, now: datetime, *, keep_going: Callable[[], bool] = lambda: True) -> None:
        """Enqueue a heartbeat where one is due, and send what waits. Never raises; what fails is tried again later."""
        control_plane = self.settings.control_plane
        if not isinstance(self.store, SqliteStore) or control_plane is None:
            return
        if _is_within(self._sending_rests_at, now, _REST_S):
            return
        age = None if self._beat_at is None else abs((now - self._beat_at).total_seconds())
        if age is None or age >= control_plane.heartbeat_interval_s:
            self._beat_at = now
            self._beat(self.store, now)
        uplink = uplink_of(self.settings.site_id, control_plane)
        worker = OutboxWorker(self.store, uplink, SystemClock(), SystemRandom(), policy=control_plane.policy())
        if worker.send_due(keep_going).store_failed:
            self._sending_rests_at = now

    def sync_rules(self, now: datetime) -> None:
        """Look for rules of the control plane where it is time. Never raises; the last good ones stay in force."""
        control_plane, state_dir = self.settings.control_plane, self.settings.state_dir
        if control_plane is None or state_dir is None or not (synced_folder(state_dir) / TRUSTED_ROOT).exists():
            return
        if self._sync is None or self._sync[0] != control_plane:
            rules = signed_rules_of(self.settings)
            if rules is None:
                return
            events, interval_s = self.engine.events, control_plane.sync_interval_s
            self._sync = (control_plane, RuleSync(state_dir, rules, interval_s, events, SystemRandom()))
        self._sync[1].look_if_due(now)

    def _beat(self, store: SqliteStore, now: datetime) -> None:
        try:
            store.attach(
                heartbeat(
                    store.counts(), site_id=self.settings.site_id, version=version(), ids=self.engine.ids, now=now
                )
            )
        except StoreError as error:  # a full disk: what waits may still be sent
            self.engine.events.emit("store.failed", error=str(error))

    def take_snapshot(self, now: datetime) -> None:
        """Take a snapshot of the state where the last one is too old. Never raises: the old one stays."""
        if not isinstance(self.store, SqliteStore) or _is_within(self._snapshot_failed_at, now, _REST_S):
            return
        try:
            taken = self.store.snapshot(now, interval=timedelta(seconds=self.settings.snapshot.interval_s))
        except StoreError as error:
            self._snapshot_failed_at = now
            self.engine.events.emit("snapshot.failed", error=str(error))
        else:
            if taken:
                self.engine.events.emit("snapshot.taken")

    def _limits(self) -> StoreLimits:
        """Return what the store keeps: never less than the gate looks back."""
        rules = self.engine.rules.rules
        horizon = max([self.engine.policy.window_s, *(horizon_s(self.engine.policy, rule) for rule in rules)])
        days = max(DEFAULT_LIMITS.retention_days, math.ceil(horizon / _DAY_S) + 1)
        return replace(DEFAULT_LIMITS, retention_days=days)

    def look_after_decisions(self) -> None:
        """See to what people have decided: note the pause file, tell of waivers that end. Never raises."""
        if not isinstance(self.store, SqliteStore) or _is_within(self._decisions_rest_at, SystemClock().now(), _REST_S):
            return
        now = place(self.store.last_instant(), SystemClock().read())
        try:
            order = self.engine.kill_switch.order()
            noted = note_pause_file(self.store, order, site_id=self.settings.site_id, now=now)
            if noted is not None:
                self.engine.events.emit(
                    "pause_file.noted", action=noted.kind.value, actor=noted.actor, reason=noted.reason
                )
            targets = {target.target_id for target in self.settings.targets()}
            for waiver in tell_ending_waivers(self.store, targets, site_id=self.settings.site_id, now=now):
                self.engine.events.emit("waiver.told", target=waiver.target_id, check=waiver.check_id)
        except StoreError as error:  # a full disk: it is told as soon as that can be kept
            self._decisions_rest_at = now.wall
            self.engine.events.emit("store.failed", error=str(error))

    def keep_house(self, now: datetime) -> None:
        """Deliver alerts, once an hour drop what is older than the store's limits, and take snapshots."""
        self.look_after_decisions()
        self.deliver_alerts()
        if not isinstance(self.store, SqliteStore):
            return
        if self._pruned_at is None or abs((now - self._pruned_at).total_seconds()) >= _PRUNE_EVERY_S:
            self._pruned_at = now
            dropped = self.store.prune(now, self._limits())
            if any(dropped.values()):
                self.engine.events.emit("store.pruned", **dropped)
            gone = self.store.prune_evidence(now, retention_days=self.settings.evidence.retention_days)
            if gone:
                self.engine.events.emit("evidence.pruned", entries=gone)
        self.take_snapshot(now)


def _is_within(since: datetime | None, now: datetime, seconds: float) -> bool:
    """Tell whether less than so many seconds are past, whichever way the clock jumped."""
    return since is not None and abs((now - since).total_seconds()) < seconds


@contextmanager
def assemble(settings: Settings, *, access: Access, events: Events) -> Iterator[Agent]:
    """Make the agent; its state file is closed at the end.

    Raises:
        InputError: Settings, rules or runbooks are malformed.
        StoreError: The state cannot be opened, or another process runs turns.

    """
    content = load_content(settings)
    store = _open_store(settings, access, events)
    agent: Agent | None = None
    try:
        agent = Agent(settings, _engine(settings, content, store, events, make_transports(settings)), store)
        yield agent
    finally:
        if agent is not None:
            close_transports(agent.engine)
        if not isinstance(store, MemoryStore):
            store.close()


def rebuild(agent: Agent, settings: Settings) -> Engine:
    """Return an engine for changed settings over the same state, and have the agent go by those settings.

    The old engine goes on until its turns end.

    Raises:
        InputError: Settings, rules or runbooks are malformed.

    """
    old, content = agent.engine, load_content(settings)
    transports = make_transports(settings)
    if connects_as(agent.settings) == connects_as(settings):  # what is kept goes on being of use
        transports = {**transports, **old.transports}
    agent.engine = _engine(settings, content, agent.store, old.events, transports)
    if transports.get(TransportKind.SSH) is not old.transports.get(TransportKind.SSH):
        close_transports(old)
    agent.settings = settings
    return agent.engine


def _open_store(settings: Settings, access: Access, events: Events) -> MemoryStore | Reader:
    if access is Access.NONE:
        return MemoryStore()
    path = state_path(settings)
    if access is Access.READ:
        return open_read_only(path)
    return open_recording(settings, events, turns_at=SystemClock().now() if access is Access.TURNS else None)


def open_recording(
    settings: Settings, events: Events, *, turns_at: datetime | None = None, needs_key: bool = True
) -> SqliteStore:
    """Open the state file so that what is written into it is evidenced, too. The first one makes the key.

    Args:
        settings: The settings.
        events: Told of entries that had to be refused.
        turns_at: Be the one process that runs turns, from this time (UTC) on.
        needs_key: See that evidence can be signed; not where the key was lost and is to be replaced.

    Raises:
        StoreError: The file cannot be opened, another process runs turns, or evidence cannot be signed.

    """

    def tell(sealed: Sealed) -> None:
        events.emit("evidence.refused", kind=str(sealed.draft.body.get("kind")), seq=sealed.position.seq)

    path = state_path(settings)
    keys = key_store(settings.evidence, path.parent)
    store = SqliteStore(
        path,
        alert_repeat_s=settings.alerts.repeat_s,
        outbox_limits=settings.outbox.limits(),
        turns_at=turns_at,
        recorder=make_recorder(keys, forward=settings.control_plane is not None, tell=tell),
    )
    try:
        if needs_key:
            ensure_key(keys, store.evidence.status().key_id)
    except StoreError:
        store.close()
        raise
    return store


def _engine(
    settings: Settings,
    content: Content,
    store: MemoryStore | Reader,
    events: Events,
    transports: Mapping[TransportKind, Transport],
) -> Engine:
    ids = SystemIds()
    return Engine(
        catalogue=content.catalogue,
        rules=content.rules,
        quarantined=content.quarantined,
        transports=transports,
        store=store,  # type: ignore[arg-type]  # every store but the bare Reader has the write side
        ids=ids,
        reporter=_reporter(settings, content, ids),
        events=events,
        policy=settings.gate_policy(),
        kill_switch=FileKillSwitch(settings.pause_path) if settings.pause_path else NoKillSwitch(),
        limits=Limits(scan_timeout_s=settings.scan.timeout_s, output_max_bytes=settings.scan.output_max_bytes),
        mode=Mode(settings.mode),
        runbook_modes={name: Mode(mode) for name, mode in settings.runbooks.modes.items()},
        runbook_parameters=settings.runbooks.parameters,
    )


def _reporter(settings: Settings, content: Content, ids: SystemIds) -> Reporter:
    evidence = EvidenceReporter(content.catalogue)
    if settings.control_plane is None:
        return evidence
    return Reporters((evidence, TelemetryReporter(settings.site_id, ids)))
