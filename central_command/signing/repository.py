"""The repository of signed rules, by The Update Framework (https://theupdateframework.github.io/specification/).

Root (threshold 2 of 3) and the top-level targets are signed offline, and only say who may sign what. The rest is signed
here: ``synced`` (operators' rules), ``promoted`` (what the fleet taught), ``sites`` and below it one role for each
site that has rules of its own, named by a hash so that no appliance reads who else is there. Snapshot and
timestamp bind one consistent state of all of it. What is published is the state that ``timestamp.json`` names: it is
written last, in place of the old one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from central_command.signing.files import write_atomically
from central_command.signing.keys import (
    OFFLINE_KEYS,
    ONLINE_KEYS,
    ROOT_KEYS,
    ROOT_THRESHOLD,
    KeysError,
    make_key,
    read_key,
)
from compliance_agent.domain.serving import CHANNELS, FLEET_ROLES, fleet_path, site_name

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from pathlib import Path

    from securesystemslib.signer import CryptoSigner

LIFETIMES: Final = {
    "root": timedelta(days=365),
    "targets": timedelta(days=30),
    "snapshot": timedelta(days=7),
    "timestamp": timedelta(days=1),
}
"""Of delegated roles: as of targets."""

KEPT_VERSIONS: Final = 3
"""Versions of each role that are kept: who began to read an older state can end it."""

_T = TypeVar("_T", Root, Targets, Snapshot, Timestamp)


@dataclass(frozen=True, slots=True)
class Bundles:
    """What is to be served: rules documents, JSON.

    Attributes:
        fleet: By role (``synced``, ``promoted``), then by channel (``stable``, ``canary``).
        sites: By site, of the sites that have rules of their own.

    """

    fleet: Mapping[str, Mapping[str, bytes]]
    sites: Mapping[str, bytes]


def found(folder: Path, *, now: datetime) -> None:
    """Make the keys, the first root and the first targets: the ceremony, once, on a machine that can be trusted.

    ``folder/offline`` holds the keys that must leave for two safe places; ``folder/central`` is what the server gets.

    Raises:
        KeysError: There is something in the folder already, or it cannot be written.

    """
    offline, central = folder / "offline", folder / "central"
    try:
        for each in (offline, central / "keys", central / "metadata", central / "targets"):
            each.mkdir(mode=0o700, parents=True)
    except OSError as error:
        message = f"{folder} cannot take the keys: {error.strerror}"
        raise KeysError(message, hint="name a new folder: a ceremony overwrites nothing") from error
    keys = {name: make_key(offline / f"{name}.pem") for name in OFFLINE_KEYS}
    keys |= {name: make_key(central / "keys" / f"{name}.pem") for name in ONLINE_KEYS}
    root = Root(version=1, expires=_ends("root", now), consistent_snapshot=True)
    for name in ROOT_KEYS:
        root.add_key(keys[name].public_key, "root")
    for role in ("targets", "snapshot", "timestamp"):
        root.add_key(keys[role].public_key, role)
    root.roles["root"].threshold = ROOT_THRESHOLD
    roles = {
        **{role: DelegatedRole(role, [], 1, terminating=True, paths=[f"{role}/*"]) for role in FLEET_ROLES},
        "sites": DelegatedRole("sites", [], 1, terminating=True, paths=["sites/*/*"]),
    }
    targets = Targets(version=1, expires=_ends("targets", now), delegations=Delegations({}, roles))
    for role in roles:
        targets.add_key(keys[role].public_key, role)
    _store(central, "root", root, *(keys[name] for name in ROOT_KEYS))
    _store(central, "targets", targets, keys["targets"])


def renew(
    central: Path, offline: Path, *, now: datetime, with_root: bool = False, rotate: Collection[str] = ()
) -> None:
    """Sign the targets anew for another lifetime, and the root with them when asked: needs the offline keys.

    Args:
        central: The repository.
        offline: Folder of the offline keys.
        now: The time, UTC.
        with_root: Sign the root anew, too.
        rotate: Online keys to replace, after a break-in: what the old ones signed is believed no more. The next
            publication signs everything of theirs anew.

    Raises:
        KeysError: A key is missing, or there is no repository; nothing was changed.

    """
    targets, root = _newest(central, "targets", Targets), _newest(central, "root", Root)
    targets_key, root_keys = read_key(offline / "targets.pem"), []
    if with_root or set(rotate) & {"snapshot", "timestamp"}:
        paths = [offline / f"{name}.pem" for name in ROOT_KEYS if (offline / f"{name}.pem").exists()]
        if len(paths) < ROOT_THRESHOLD:
            message = f"{len(paths)} root keys are in {offline}, {ROOT_THRESHOLD} are needed"
            raise KeysError(message, hint="bring the keys of two places together")
        root_keys = [read_key(path) for path in paths]
    fresh = {name: _fresh_key(central, name) for name in rotate}
    for name, key in fresh.items():
        _replace_key(root if name in root.roles else targets, name, key)
    _store(central, "targets", _next(targets, "targets", now), targets_key)
    if root_keys:
        _store(central, "root", _next(root, "root", now), *root_keys)
    for name in fresh:
        (central / "keys" / f"{name}.new.pem").replace(central / "keys" / f"{name}.pem")


def _fresh_key(central: Path, name: str) -> CryptoSigner:
    path = central / "keys" / f"{name}.new.pem"
    path.unlink(missing_ok=True)  # of a rotation that a crash cut off
    return make_key(path)


def _replace_key(signed: Root | Targets, role: str, key: CryptoSigner) -> None:
    delegations = signed.delegations if isinstance(signed, Targets) else None
    known = signed.roles[role] if isinstance(signed, Root) else ((delegations and delegations.roles) or {})[role]
    for keyid in list(known.keyids):
        signed.revoke_key(keyid, role)
    signed.add_key(key.public_key, role)


@dataclass(frozen=True, slots=True)
class _State:
    """One published state: read once for each publication, however many sites there are."""

    timestamp: Timestamp | None = None
    timestamp_signers: frozenset[str] = frozenset()
    snapshot: Snapshot | None = None
    snapshot_signers: frozenset[str] = frozenset()


class Repository:
    """Publishes rules in a folder; one publisher at a time.

    Attributes:
        folder: ``metadata`` and ``targets`` are what clients read, ``keys`` what they must not.

    """

    def __init__(self, folder: Path) -> None:
        """Take the folder that the ceremony made, and read its keys.

        Raises:
            KeysError: A key is missing, or an offline one is here.

        """
        self.folder = folder
        strays = [name for name in OFFLINE_KEYS if (folder / "keys" / f"{name}.pem").exists()]
        if strays:
            message = f"the offline keys {', '.join(strays)} are on this server"
            raise KeysError(message, hint="move them away: who takes this server must not become the root")
        self._keys = {name: read_key(folder / "keys" / f"{name}.pem") for name in ONLINE_KEYS}

    def trusted_root(self) -> bytes:
        """Return the first root: what an appliance is given at enrolment, and follows every later root from."""
        try:
            return (self.folder / "metadata" / "1.root.json").read_bytes()
        except OSError as error:
            message = f"{self.folder} holds no root: {error.strerror}"
            raise KeysError(message, hint="make one: central-command keys init FOLDER") from error

    def publish(self, bundles: Bundles, *, now: datetime) -> bool:
        """Publish rules, and sign anew what has lived half its life; tell whether anything is new.

        Raises:
            KeysError: The repository is incomplete.
            OSError: A file cannot be written; what was published before stays.

        """
        state = self._state()
        versions = {"targets.json": _newest(self.folder, "targets", Targets).version}
        for role in FLEET_ROLES:
            files = {fleet_path(role, channel): bundles.fleet[role][channel] for channel in CHANNELS}
            versions[f"{role}.json"] = self._publish_role(state, role, self._keys[role], files, now)
        for name, version in self._publish_sites(state, bundles.sites, now).items():
            versions[f"{name}.json"] = version
        return self._publish_snapshot(state, versions, now)

    def prune(self) -> None:
        """Remove what no appliance can ask for any more: all but the newest versions of each role, and their files.

        Raises:
            KeysError: A file of the repository cannot be read.
            OSError: A file cannot be removed.

        """
        versions: dict[str, list[int]] = {}
        for path in (self.folder / "metadata").glob("*.*.json"):
            version, _, role = path.name.removesuffix(".json").partition(".")
            versions.setdefault(role, []).append(int(version))
        named: set[Path] = set()
        for role, numbers in versions.items():
            kept = sorted(numbers)
            if role != "root":  # each root leads to the next
                kept = kept[-KEPT_VERSIONS:]
            for number in set(numbers) - set(kept):
                _file(self.folder, role, number).unlink()
            if role not in {"root", "targets", "snapshot"}:
                named.update(path for number in kept for path in self._files_of(role, number))
        for path in (self.folder / "targets").rglob("*.json"):
            if path not in named:
                path.unlink()

    def _files_of(self, role: str, version: int) -> list[Path]:
        targets, _ = _read(_file(self.folder, role, version), Targets)
        return [self._target(path, info) for path, info in targets.targets.items()]

    def _target(self, path: str, info: TargetFile) -> Path:
        folder, _, name = path.rpartition("/")
        return self.folder / "targets" / folder / f"{info.hashes['sha256']}.{name}"

    def ending(self, *, now: datetime) -> dict[str, datetime]:
        """Return the roles with offline keys that end soon, and when: only people can sign them anew.

        Raises:
            KeysError: The repository is incomplete.

        """
        ends = {
            "root": _newest(self.folder, "root", Root).expires,
            "targets": _newest(self.folder, "targets", Targets).expires,
        }
        return {role: at for role, at in ends.items() if at - now < LIFETIMES[role] / 4}

    def _publish_role(
        self, state: _State, role: str, key: CryptoSigner, files: Mapping[str, bytes], now: datetime
    ) -> int:
        wanted = {path: TargetFile.from_data(path, content, ["sha256"]) for path, content in files.items()}
        for path, content in files.items():
            target = self._target(path, wanted[path])
            if not target.exists():
                write_atomically(target, content)
        old, signers = self._published(state, role, Targets)
        stays = old is not None and old.targets == wanted and not _is_aging(old, "targets", now)
        if old is not None and stays and key.public_key.keyid in signers:
            return old.version
        new = Targets(expires=_ends("targets", now), targets=wanted) if old is None else _next(old, "targets", now)
        new.targets = wanted
        _store(self.folder, role, new, key)
        return new.version

    def _publish_sites(self, state: _State, sites: Mapping[str, bytes], now: datetime) -> dict[str, int]:
        """Publish the sites' own rules. A site that once had some keeps its role, empty: a snapshot forgets none."""
        key = self._keys["sites"]
        old, signers = self._published(state, "sites", Targets)
        known = set(old.delegations.roles or {}) if old is not None and old.delegations else set()
        contents = {f"site-{site_name(site_id)}": content for site_id, content in sites.items()}
        versions = {}
        for role in sorted(known | set(contents)):
            path = f"sites/{role.removeprefix('site-')}/rules.json"
            files = {path: contents.get(role, b'{"rules": []}')}
            versions[role] = self._publish_role(state, role, key, files, now)
        is_new = old is None or set(versions) != known or _is_aging(old, "targets", now)
        if old is None or is_new or key.public_key.keyid not in signers:
            new = Targets(expires=_ends("targets", now)) if old is None else _next(old, "targets", now)
            roles = {
                role: DelegatedRole(role, [], 1, terminating=True, paths=[f"sites/{role.removeprefix('site-')}/*"])
                for role in versions
            }
            new.delegations = Delegations({}, roles)
            for role in roles:
                new.add_key(key.public_key, role)
            _store(self.folder, "sites", new, key)
            old = new
        return {"sites": old.version, **versions}

    def _publish_snapshot(self, state: _State, versions: Mapping[str, int], now: datetime) -> bool:
        snapshot, timestamp = state.snapshot, state.timestamp
        wanted = {name: MetaFile(version) for name, version in versions.items()}
        changed = snapshot is None or snapshot.meta != wanted or _is_aging(snapshot, "snapshot", now)
        changed = changed or self._keys["snapshot"].public_key.keyid not in state.snapshot_signers
        if snapshot is None or changed:
            fresh = Snapshot(expires=_ends("snapshot", now)) if snapshot is None else _next(snapshot, "snapshot", now)
            fresh.meta = wanted
            _store(self.folder, "snapshot", fresh, self._keys["snapshot"])
            snapshot = fresh
        stays = timestamp is not None and not changed and not _is_aging(timestamp, "timestamp", now)
        if stays and self._keys["timestamp"].public_key.keyid in state.timestamp_signers:
            return False
        later = Timestamp(expires=_ends("timestamp", now)) if timestamp is None else _next(timestamp, "timestamp", now)
        later.snapshot_meta = MetaFile(snapshot.version)
        content = _signed(later, self._keys["timestamp"])
        write_atomically(self.folder / "metadata" / "timestamp.json", content)
        return True

    def _state(self) -> _State:
        """Return what is published. A newer file that no timestamp names is what a crash left, and is written over."""
        path = self.folder / "metadata" / "timestamp.json"
        if not path.exists():
            return _State()
        timestamp, signers = _read(path, Timestamp)
        snapshot, by = _read(_file(self.folder, "snapshot", timestamp.snapshot_meta.version), Snapshot)
        return _State(timestamp, signers, snapshot, by)

    def _published(self, state: _State, role: str, kind: type[_T]) -> tuple[_T | None, frozenset[str]]:
        """Return the version that is published, and the ids of the keys that signed it.

        What a replaced key signed is believed no more, and has to be signed anew.
        """
        meta = state.snapshot.meta.get(f"{role}.json") if state.snapshot is not None else None
        return (None, frozenset()) if meta is None else _read(_file(self.folder, role, meta.version), kind)


def _ends(role: str, now: datetime) -> datetime:
    return (now + LIFETIMES[role]).replace(microsecond=0)


def _is_aging(signed: Root | Targets | Snapshot | Timestamp, role: str, now: datetime) -> bool:
    return signed.expires - now < LIFETIMES[role] / 2


def _next(old: _T, role: str, now: datetime) -> _T:
    old.version += 1
    old.expires = _ends(role, now)
    return old


def _signed(signed: Root | Targets | Snapshot | Timestamp, *keys: CryptoSigner) -> bytes:
    metadata: Metadata[Any] = Metadata(signed)
    for key in keys:
        metadata.sign(key, append=True)
    return metadata.to_bytes()


def _store(folder: Path, role: str, signed: Root | Targets | Snapshot, *keys: CryptoSigner) -> None:
    write_atomically(_file(folder, role, signed.version), _signed(signed, *keys))


def _file(folder: Path, role: str, version: int) -> Path:
    return folder / "metadata" / f"{version}.{role}.json"


def _newest(folder: Path, role: str, kind: type[_T]) -> _T:
    numbers = [int(path.name.split(".")[0]) for path in (folder / "metadata").glob(f"*.{role}.json")]
    if not numbers:
        message = f"{folder} holds no {role}"
        raise KeysError(message, hint="make one: central-command keys init FOLDER")
    return _read(_file(folder, role, max(numbers)), kind)[0]


def _read(path: Path, kind: type[_T]) -> tuple[_T, frozenset[str]]:
    """Return what a file of metadata says, and the ids of the keys that signed it."""
    try:
        metadata: Metadata[Any] = Metadata.from_file(str(path))
    except (RepositoryError, OSError, ValueError) as error:
        message = f"{path} cannot be read: {error}"
        raise KeysError(message, hint="restore the repository from its backup") from error
    if not isinstance(metadata.signed, kind):
        message = f"{path} is no {kind.type}"
        raise KeysError(message, hint="restore the repository from its backup")
    return metadata.signed, frozenset(metadata.signatures)
