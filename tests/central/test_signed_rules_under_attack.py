"""Every attack of The Update Framework's specification (section 1.5.2), by a server that lies to a real appliance."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tuf.api.metadata import Metadata

from central_command.signing.keys import ONLINE_KEYS, KeysError, read_key
from central_command.signing.repository import Repository, renew
from tests.support.signed_rules import Ceremony, Mirror, an_appliance, an_entry, bundles, document, now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from compliance_agent.adapters.control_plane.signed_rules import Look, SignedRules

FIRST = bundles(synced_stable=document(an_entry("ONE")))
SECOND = bundles(synced_stable=document(an_entry("TWO")))


@pytest.fixture
def ceremony(tmp_path: Path) -> Ceremony:
    made = Ceremony.hold(tmp_path)
    made.publish(FIRST)
    return made


@pytest.fixture
def mirror(ceremony: Ceremony) -> Iterator[Mirror]:
    with Mirror(ceremony.files()).serve() as serving:
        yield serving


@pytest.fixture
def appliance(ceremony: Ceremony, mirror: Mirror, tmp_path: Path) -> SignedRules:
    return an_appliance(tmp_path / "appliance", mirror.url, ceremony.repository().trusted_root())


def rules_in(look: Look) -> str:
    assert look.bundle is not None, look.trouble
    return look.bundle.files[0].content.decode()


def test_an_honest_server_is_believed(appliance) -> None:
    look = appliance.look(now=now())
    assert "ONE" in rules_in(look)
    assert [file.path for file in look.bundle.files] == [
        "synced/stable.json",
        "synced/canary.json",
        "promoted/stable.json",
        "promoted/canary.json",
    ]


def refused(look: Look, words: str) -> None:
    assert look.bundle is None
    assert look.is_refused, look.trouble
    assert words in look.trouble


def test_arbitrary_rules_are_refused(appliance, mirror) -> None:
    """Arbitrary software attack, on a file of rules."""
    mirror.lie = lambda path, content: content.replace(b"ONE", b"BAD") if "targets/synced" in path else content
    refused(appliance.look(now=now()), "not the one that was signed")


def test_metadata_that_others_signed_is_refused(appliance, mirror, tmp_path) -> None:
    """Arbitrary software attack, with keys of one's own."""
    (tmp_path / "enemy").mkdir()
    enemy = Ceremony.hold(tmp_path / "enemy")
    enemy.publish(bundles(synced_stable=document(an_entry("BAD"))))
    mirror.files = enemy.files() | {"metadata/1.root.json": mirror.files["metadata/1.root.json"]}
    refused(appliance.look(now=now()), "not signed by the keys")


def test_data_without_end_is_cut_off(appliance, mirror) -> None:
    """Endless data attack."""
    mirror.lie = lambda path, content: b" " * 50_000_000 if path.endswith("timestamp.json") else content
    refused(appliance.look(now=now()), "longer than it may be")


def test_a_role_cannot_speak_for_another(appliance, mirror, ceremony) -> None:
    """Extraneous files: what signs promoted rules names a file of the operators'."""
    path = ceremony.central / "metadata" / "1.promoted.json"
    metadata = Metadata.from_file(str(path))
    signed: Any = metadata.signed
    signed.targets["synced/stable.json"] = signed.targets["promoted/stable.json"]
    metadata.sign(read_key(ceremony.central / "keys" / "promoted.pem"))
    mirror.files["metadata/1.promoted.json"] = metadata.to_bytes()
    assert "ONE" in rules_in(appliance.look(now=now()))


def test_who_jumps_ahead_with_stolen_keys_is_overcome_by_new_ones(appliance, mirror, ceremony) -> None:
    """Fast-forward attack: versions near the end of numbers, then recovery by the root."""
    path = ceremony.central / "metadata" / "timestamp.json"
    metadata = Metadata.from_file(str(path))
    metadata.signed.version = 2**31
    metadata.sign(read_key(ceremony.central / "keys" / "timestamp.pem"))
    mirror.files["metadata/timestamp.json"] = metadata.to_bytes()
    assert appliance.look(now=now()).bundle is not None
    renew(ceremony.central, ceremony.offline, now=now(), with_root=True, rotate=["timestamp", "snapshot"])
    ceremony.publish(SECOND)
    mirror.files = ceremony.files()
    appliance._verified_at = None
    assert "TWO" in rules_in(appliance.look(now=now()))


def test_rules_that_are_held_back_are_refused_when_they_expire(tmp_path) -> None:
    """Indefinite freeze attack."""
    ceremony = Ceremony.hold(tmp_path)
    ceremony.publish(FIRST, at=now() - timedelta(days=1, minutes=1))
    with Mirror(ceremony.files()).serve() as mirror:
        appliance = an_appliance(tmp_path / "appliance", mirror.url, ceremony.repository().trusted_root())
        refused(appliance.look(now=now()), "has expired")
        ceremony.publish(FIRST)
        mirror.files = ceremony.files()
        assert "ONE" in rules_in(appliance.look(now=now()))


def test_a_mirror_that_only_does_mischief_is_harmless(appliance, mirror) -> None:
    """Malicious mirrors: an appliance has one address, and whatever stands there is not believed for that."""
    mirror.lie = lambda _path, _content: b"<html>sign in to the guest network</html>"
    assert appliance.look(now=now()).bundle is None
    mirror.lie = lambda _path, content: content
    assert "ONE" in rules_in(appliance.look(now=now()))


@pytest.mark.parametrize("old", ["2.snapshot.json", "2.synced.json"])
def test_a_mix_of_two_states_is_refused(appliance, mirror, ceremony, old) -> None:
    """Mix-and-match attack: an older part under the name of the newer one."""
    ceremony.publish(SECOND)
    first = mirror.files[f"metadata/1.{old.partition('.')[2]}"]
    mirror.files = ceremony.files() | {f"metadata/{old}": first}
    refused(appliance.look(now=now()), "older state")


def test_an_older_state_is_refused(appliance, mirror, ceremony) -> None:
    """Rollback attack."""
    before = dict(mirror.files)
    ceremony.publish(SECOND)
    mirror.files = ceremony.files()
    assert "TWO" in rules_in(appliance.look(now=now()))
    mirror.files = before
    appliance._verified_at = None
    refused(appliance.look(now=now()), "older state")


def test_an_older_state_is_refused_by_an_appliance_that_was_started_anew(appliance, mirror, ceremony) -> None:
    """Rollback attack, over a restart: what was seen is on the disk."""
    before = dict(mirror.files)
    ceremony.publish(SECOND)
    mirror.files = ceremony.files()
    assert appliance.look(now=now()).bundle is not None
    mirror.files = before
    again = type(appliance)(appliance.folder, appliance.address, appliance.token_file, appliance.site_id)
    refused(again.look(now=now()), "older state")


def test_a_server_that_drips_is_left_at_the_deadline(ceremony, mirror, tmp_path) -> None:
    """Slow retrieval attack."""
    mirror.drip_s = 0.05
    appliance = an_appliance(tmp_path / "slow", mirror.url, ceremony.repository().trusted_root(), deadline_s=0.3)
    look = appliance.look(now=now())
    assert look.bundle is None
    assert look.trouble


def test_one_root_key_alone_makes_no_root(appliance, mirror, ceremony) -> None:
    """Key compromise below the threshold: the next root with one signature of two."""
    root = Metadata.from_file(str(ceremony.central / "metadata" / "1.root.json"))
    root.signed.version = 2
    root.signatures.clear()
    root.sign(read_key(ceremony.offline / "root-1.pem"))
    mirror.files["metadata/2.root.json"] = root.to_bytes()
    refused(appliance.look(now=now()), "not signed by the keys")


def test_the_online_keys_of_the_fleet_cannot_make_new_roles(appliance, mirror, ceremony) -> None:
    """Key compromise: everything that stands on the server signs new targets, and it is not enough."""
    path = ceremony.central / "metadata" / "1.targets.json"
    targets = Metadata.from_file(str(path))
    targets.signatures.clear()
    for name in ONLINE_KEYS:
        targets.sign(read_key(ceremony.central / "keys" / f"{name}.pem"), append=True)
    mirror.files["metadata/1.targets.json"] = targets.to_bytes()
    refused(appliance.look(now=now()), "not signed by the keys")


def test_two_root_keys_make_the_next_root(appliance, mirror, ceremony) -> None:
    (ceremony.offline / "root-3.pem").unlink()
    renew(ceremony.central, ceremony.offline, now=now(), with_root=True)
    ceremony.publish(SECOND)
    mirror.files = ceremony.files()
    assert "TWO" in rules_in(appliance.look(now=now()))


@pytest.mark.parametrize("name", ONLINE_KEYS)
def test_what_a_replaced_key_signed_is_believed_no_more(appliance, mirror, ceremony, name) -> None:
    stolen = ceremony.central / "keys" / f"{name}.pem"
    old = read_key(stolen).public_key.keyid
    renew(ceremony.central, ceremony.offline, now=now(), rotate=[name])
    ceremony.publish(bundles(synced_stable=document(an_entry("TWO")), sites={"clinic": document(an_entry("OWN"))}))
    mirror.files = ceremony.files()
    look = appliance.look(now=now())
    assert "TWO" in rules_in(look)
    assert look.bundle is not None
    assert b"OWN" in look.bundle.files[-1].content
    for path, content in ceremony.files().items():
        role = path.removesuffix(".json").rpartition(".")[2].rpartition("/")[2]
        if path.startswith("metadata/") and role == name and not path.startswith("metadata/1."):
            assert old not in json.dumps([one["keyid"] for one in json.loads(content)["signatures"]])


def test_an_offline_key_on_the_server_keeps_it_from_starting(ceremony) -> None:
    (ceremony.offline / "targets.pem").rename(ceremony.central / "keys" / "targets.pem")
    with pytest.raises(KeysError, match="offline keys targets are on this server"):
        Repository(ceremony.central)


def test_a_key_that_others_may_read_is_not_used(ceremony) -> None:
    (ceremony.central / "keys" / "synced.pem").chmod(0o640)
    with pytest.raises(KeysError, match="others than its owner may read"):
        Repository(ceremony.central)


def test_old_versions_go_and_what_stands_is_whole(appliance, mirror, ceremony) -> None:
    for number in range(6):
        rules = document(an_entry(f"N-{number}"))
        ceremony.publish(bundles(synced_stable=rules, sites={"clinic": rules}))
    before = ceremony.files()
    ceremony.repository().prune()
    left = ceremony.files()
    assert sorted(path for path in left if ".synced." in path) == [f"metadata/{n}.synced.json" for n in (5, 6, 7)]
    assert len([path for path in left if path.startswith("targets/synced/") and path.endswith(".stable.json")]) == 3
    assert len(left) < len(before)
    mirror.files = left
    assert "N-5" in rules_in(appliance.look(now=now()))


def test_offline_keys_whose_word_ends_are_named_in_time(ceremony) -> None:
    repository = ceremony.repository()
    assert repository.ending(now=now()) == {}
    assert set(repository.ending(now=now() + timedelta(days=25))) == {"targets"}
    assert set(repository.ending(now=now() + timedelta(days=300))) == {"root", "targets"}
    renew(ceremony.central, ceremony.offline, now=now() + timedelta(days=25))
    assert repository.ending(now=now() + timedelta(days=25)) == {}


@pytest.mark.parametrize("content", [b"", b"{}", b"nonsense"])
def test_a_damaged_repository_is_told_with_a_remedy(ceremony, content) -> None:
    (ceremony.central / "metadata" / "timestamp.json").write_bytes(content)
    with pytest.raises(KeysError, match="cannot be read") as told:
        ceremony.publish(SECOND)
    assert "backup" in told.value.hint
