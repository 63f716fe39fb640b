"""From a rule in the database to a rule in force on an appliance, by the real server and the real command line."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests
from psycopg.types.json import Jsonb

from central_command.api.app import make_app
from central_command.api.publisher import Publisher
from central_command.api.requests import Services
from central_command.api.serve import Server
from central_command.flywheel.stages import StagePolicy
from central_command.postgres.server import PostgresServer, find_sources
from central_command.signing import files
from central_command.signing import repository as repository_module
from central_command.store.access import Caller, issue_credential, issue_enrolment_token
from central_command.store.database import Database
from compliance_agent.adapters.synced_rules import active_path
from compliance_agent.domain.serving import in_canary, site_path
from tests.support.central import add_rule, add_runbook, add_site, uuid7
from tests.support.cli import cli
from tests.support.signed_rules import Ceremony, an_appliance, now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

SITE, OTHER = "north-valley", "south-hill"


@pytest.fixture(scope="session", params=find_sources(variable="CENTRAL_TEST_DATABASE_URL")[-1:], ids=["newest"])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """The newest server alone: nothing here depends on its version."""
    with PostgresServer(request.param) as running:
        yield running


class Clinic:
    """An appliance with its settings, and Central Command."""

    def __init__(self, folder: Path, services: Services, url: str, publisher: Publisher, ceremony: Ceremony) -> None:
        self.folder = folder
        self.services = services
        self.url = url
        self.publisher = publisher
        self.ceremony = ceremony
        self.settings = folder / "settings.yaml"
        self.token_file = folder / "control-plane.token"
        self.settings.write_text(
            f"site_id: {SITE}\nstate_dir: {folder / 'state'}\n"
            f"control_plane: {{url: '{url}', appliance_id: a1, token_file: {self.token_file}}}\n"
        )

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.publisher.repository.trusted_root()).hexdigest()

    def token(self, site_id: str = SITE) -> str:
        with self.services.database.fleet() as connection:
            return issue_enrolment_token(
                connection, site_id=site_id, created_by="test", now=now(), valid_for=timedelta(hours=1)
            )

    def enrol(self, *more: str, token: str | None = None) -> Any:
        options = more or ("--root-sha256", self.fingerprint)
        return cli("enroll", "-c", str(self.settings), *options, stdin=token or self.token())

    def sync(self) -> Any:
        return json.loads(cli("rules", "sync", "-c", str(self.settings), "-o", "json").stdout)

    def rules(self) -> dict[str, str]:
        """Return what the appliance has from Central Command: id and state."""
        told = json.loads(cli("rules", "list", "-c", str(self.settings), "-o", "json").stdout)
        rows = [*told["rules"], *told["quarantined"]]
        return {row["rule"]: row["state"] for row in rows if row["source"] in {"synced", "promoted"}}


@pytest.fixture
def clinic(conninfo: str, owner: psycopg.Connection, tmp_path: Path) -> Iterator[Clinic]:
    numbers = itertools.count()
    for site_id in (SITE, OTHER):
        add_site(owner, site_id)
    owner.execute("DELETE FROM l1_rules")
    ceremony = Ceremony.hold(tmp_path)
    with Database(conninfo) as database:
        publisher = Publisher(ceremony.repository(), database, _policy().canary_shares)
        publisher.publish(now=now())
        services = Services(
            database=database,
            now=now,
            monotonic_s=time.monotonic,
            new_id=lambda: str(uuid7(now(), next(numbers))),
            publisher=publisher,
        )
        with Server(make_app(services)) as server:
            yield Clinic(tmp_path, services, server.url, publisher, ceremony)


def _policy() -> StagePolicy:
    return StagePolicy(shadow_time=timedelta(days=7))


def test_an_enrolled_appliance_takes_the_rules_of_its_fleet(clinic, owner) -> None:
    add_rule(owner, "FLEET-1")
    clinic.publisher.publish(now=now())
    done = clinic.enrol()
    assert (done.returncode, "a1 is enrolled for north-valley" in done.stdout) == (0, True), done.stderr
    assert oct(clinic.token_file.stat().st_mode & 0o777) == "0o600"
    told = clinic.sync()
    assert (told["changed"], told["rules"], told["trouble"]) == (True, 1, None)
    assert clinic.rules() == {"FLEET-1": "enabled"}
    assert clinic.sync()["changed"] is False


def test_a_rule_that_is_taken_back_is_gone_with_the_next_look(clinic, owner) -> None:
    add_rule(owner, "FLEET-1")
    add_rule(owner, "FLEET-2")
    clinic.publisher.publish(now=now())
    clinic.enrol()
    clinic.sync()
    owner.execute("UPDATE l1_rules SET hand = 'vetoed' WHERE rule_id = 'FLEET-1'")
    assert clinic.publisher.publish(now=now()) is True
    clinic.sync()
    assert clinic.rules() == {"FLEET-2": "enabled"}


def test_a_rule_in_shadow_is_there_and_does_not_act(clinic, owner) -> None:
    add_rule(owner, "NEW", source="promoted", stage="shadow")
    clinic.publisher.publish(now=now())
    clinic.enrol()
    assert clinic.sync()["tried"] == 1
    assert clinic.rules() == {"NEW": "tried out"}


def test_a_rule_in_canary_acts_on_those_whose_turn_it_is(clinic, owner) -> None:
    share = _policy().canary_shares[0]
    for number in range(40):
        add_rule(owner, f"C-{number}", source="promoted", stage="canary", canary_step=0)
    clinic.publisher.publish(now=now())
    clinic.enrol()
    clinic.sync()
    wanted = {f"C-{n}": "enabled" if in_canary(f"C-{n}", SITE, "a1", share) else "tried out" for n in range(40)}
    assert clinic.rules() == wanted
    assert set(wanted.values()) == {"enabled", "tried out"}


def test_a_sites_own_rule_goes_before_the_fleets_and_to_no_other_site(clinic, owner) -> None:
    add_rule(owner, "SAME", priority=100)
    add_rule(owner, "OWN-OF-OTHER", site_id=OTHER)
    add_rule(owner, "OWN", site_id=SITE)
    clinic.publisher.publish(now=now())
    clinic.enrol()
    clinic.sync()
    assert clinic.rules() == {"SAME": "enabled", "OWN": "enabled"}
    credential = clinic.token_file.read_text().strip()
    theirs = [path for path in clinic.publisher._files if path.startswith("targets/sites/")]
    answers = {
        path: requests.get(
            f"{clinic.url}/agent/sync/{path}", headers={"Authorization": f"Bearer {credential}"}, timeout=10
        ).status_code
        for path in theirs
    }
    own = f"targets/{site_path(SITE)}".rpartition("/")[0]
    assert sorted(answers.values()) == [200, 404]
    assert all((code == 200) == path.startswith(own) for path, code in answers.items())


def test_a_rule_that_this_agent_does_not_understand_is_set_aside_by_itself(clinic, owner) -> None:
    add_rule(owner, "GOOD")
    add_rule(owner, "STRANGE", incident_pattern=Jsonb({"check_id": {"$unheard_of": 1}}))
    add_runbook(owner, "LIN-NEW-001")
    add_rule(owner, "NEWER", runbook_id="LIN-NEW-001")
    clinic.publisher.publish(now=now())
    clinic.enrol()
    told = clinic.sync()
    assert (told["rules"], told["quarantined"]) == (1, 2)
    assert clinic.rules() == {"GOOD": "enabled", "STRANGE": "quarantined", "NEWER": "quarantined"}


@pytest.mark.parametrize("hand", ["disabled", "vetoed"])
def test_a_site_switches_a_rule_of_the_fleet_off_for_itself(clinic, owner, hand) -> None:
    add_rule(owner, "FLEET-1")
    decide(owner, SITE, "FLEET-1", hand)
    clinic.publisher.publish(now=now())
    clinic.enrol()
    clinic.sync()
    assert clinic.rules() == {"FLEET-1": "disabled"}
    decide(owner, SITE, "FLEET-1", None)
    decide(owner, OTHER, "FLEET-1", hand)
    clinic.publisher.publish(now=now())
    clinic.sync()
    assert clinic.rules() == {"FLEET-1": "enabled"}


def test_a_site_keeps_a_rule_in_the_stage_that_it_was_pinned_at(clinic, owner) -> None:
    add_rule(owner, "FLEET-1")
    decide(owner, SITE, "FLEET-1", "pinned", "shadow")
    add_rule(owner, "FLEET-2", source="promoted", stage="shadow")
    decide(owner, SITE, "FLEET-2", "pinned", "enabled")
    clinic.publisher.publish(now=now())
    clinic.enrol()
    clinic.sync()
    assert clinic.rules() == {"FLEET-1": "tried out", "FLEET-2": "enabled"}


def decide(
    owner: psycopg.Connection, site_id: str, rule_id: str, hand: str | None, pinned_stage: str | None = None
) -> None:
    owner.execute("DELETE FROM site_hands WHERE site_id = %s AND rule_id = %s", (site_id, rule_id))
    if hand is not None:
        owner.execute(
            "INSERT INTO site_hands VALUES (%s, %s, %s, %s, 'a reason', 'joe', now())",
            (site_id, rule_id, hand, pinned_stage),
        )


def test_a_wrong_fingerprint_enrols_nothing(clinic) -> None:
    done = clinic.enrol("--root-sha256", "0" * 64)
    assert done.returncode == 1
    assert "not your server" in done.stderr
    assert not clinic.token_file.exists()
    assert not (clinic.folder / "state" / "synced").exists()


def test_a_token_of_another_site_enrols_nothing(clinic) -> None:
    done = clinic.enrol(token=clinic.token(OTHER))
    assert done.returncode == 1
    assert "the token is for the site south-hill" in done.stderr
    assert not clinic.token_file.exists()


def test_a_token_works_once_and_is_in_no_argument(clinic) -> None:
    token = clinic.token()
    assert clinic.enrol(token=token).returncode == 0
    again = clinic.enrol("--root-sha256", clinic.fingerprint, "--replace", token=token)
    assert again.returncode == 1
    assert "ask for a new token" in again.stderr
    assert cli("enroll", "-c", str(clinic.settings), token).returncode == 64


def test_enrolling_twice_needs_a_word(clinic) -> None:
    assert clinic.enrol().returncode == 0
    before = clinic.token_file.read_text()
    done = clinic.enrol()
    assert (done.returncode, "is there already" in done.stderr) == (1, True)
    assert clinic.token_file.read_text() == before
    assert clinic.enrol("--root-sha256", clinic.fingerprint, "--replace").returncode == 0
    assert clinic.token_file.read_text() != before


def test_without_a_fingerprint_an_appliance_says_that_it_takes_no_rules(clinic, owner) -> None:
    assert cli("enroll", "-c", str(clinic.settings), stdin=clinic.token()).returncode == 64
    assert clinic.enrol("--no-rules").returncode == 0
    add_rule(owner, "FLEET-1")
    clinic.publisher.publish(now=now())
    told = clinic.sync()
    assert "pinned no root" in told["trouble"]
    assert clinic.rules() == {}


def test_enrolling_again_without_rules_forgets_the_root_and_its_rules(clinic, owner) -> None:
    add_rule(owner, "FLEET-1")
    clinic.publisher.publish(now=now())
    clinic.enrol()
    clinic.sync()
    assert clinic.rules() == {"FLEET-1": "enabled"}
    assert clinic.enrol("--no-rules", "--replace").returncode == 0
    assert clinic.rules() == {}
    assert "pinned no root" in clinic.sync()["trouble"]


def test_a_server_that_signs_no_rules_is_told_to_be_one(clinic) -> None:
    clinic.services.publisher = None
    done = clinic.enrol("--root-sha256", "0" * 64)
    assert (done.returncode, "signs no rules" in done.stderr) == (1, True)
    assert not clinic.token_file.exists()


def test_while_central_command_is_away_the_last_rules_stay_in_force(clinic, owner) -> None:
    add_rule(owner, "FLEET-1")
    clinic.publisher.publish(now=now())
    clinic.enrol()
    clinic.sync()
    clinic.settings.write_text(clinic.settings.read_text().replace(clinic.url, "http://127.0.0.1:9"))
    told = clinic.sync()
    assert "does not answer" in told["trouble"]
    assert clinic.rules() == {"FLEET-1": "enabled"}
    clinic.settings.write_text(clinic.settings.read_text().replace("http://127.0.0.1:9", clinic.url))
    assert clinic.sync()["trouble"] is None


def test_a_damaged_file_of_rules_stops_nothing_and_comes_anew(clinic, owner) -> None:
    add_rule(owner, "FLEET-1")
    clinic.publisher.publish(now=now())
    clinic.enrol()
    clinic.sync()
    active_path(clinic.folder / "state").write_bytes(b'{"schema": ')
    assert list(clinic.rules().values()) == ["quarantined"]
    assert clinic.sync()["changed"] is True
    assert clinic.rules() == {"FLEET-1": "enabled"}


def test_what_has_not_changed_is_a_304_and_no_stranger_is_answered(clinic) -> None:
    clinic.enrol()
    credential = clinic.token_file.read_text().strip()
    url = f"{clinic.url}/agent/sync/metadata/timestamp.json"
    first = requests.get(url, headers={"Authorization": f"Bearer {credential}"}, timeout=10)
    assert (first.status_code, first.headers["Retry-After"]) == (200, "45")
    headers = {"Authorization": f"Bearer {credential}", "If-None-Match": first.headers["ETag"]}
    again = requests.get(url, headers=headers, timeout=10)
    assert (again.status_code, again.content) == (304, b"")
    assert requests.get(url, timeout=10).status_code == 401
    assert requests.get(url, headers={"Authorization": "Bearer cca_x"}, timeout=10).status_code == 401
    for path in ("../keys/promoted.pem", "keys/promoted.pem", "metadata/../keys/promoted.pem", "nothing"):
        answer = requests.get(f"{clinic.url}/agent/sync/{path}", headers=headers, timeout=10)
        assert answer.status_code == 404
    scoped = issue_telemetry_only(clinic)
    assert requests.get(url, headers={"Authorization": f"Bearer {scoped}"}, timeout=10).status_code == 403


def issue_telemetry_only(clinic: Clinic) -> str:
    with clinic.services.database.fleet() as connection:
        caller = Caller(SITE, "a1", frozenset({"telemetry"}))
        return issue_credential(connection, caller, credential_id=uuid7(now(), 10**6), now=now())


def test_a_look_at_what_has_not_changed_asks_one_thing(clinic, owner) -> None:
    clinic.enrol()
    appliance = an_appliance(clinic.folder / "x", clinic.url, clinic.publisher.repository.trusted_root())
    (clinic.folder / "x" / "token").write_text(clinic.token_file.read_text())
    assert appliance.look(now=now()).bundle is not None
    assert appliance.look(now=now()).bundle is None
    add_rule(owner, "FLEET-1")
    clinic.publisher.publish(now=now())
    look = appliance.look(now=now())
    assert appliance.look(now=now()).bundle is None
    assert appliance.look(now=now(), whole=True).bundle == look.bundle, "what could not be kept can be had again"
    assert look.bundle is not None
    assert b"FLEET-1" in look.bundle.files[0].content


def test_a_publication_that_is_cut_off_anywhere_leaves_a_state_that_is_whole(clinic, owner, monkeypatch) -> None:
    """The publisher is cut off before each of its files in turn; what appliances see is the old state or the new."""
    clinic.enrol()
    really = files.write_atomically
    written: list[Path] = []
    for cut in range(4):  # the file of rules, the role, the snapshot, the timestamp
        add_rule(owner, f"CUT-{cut}")
        written = []

        def cut_off(path: Path, content: bytes, cut: int = cut, written: list[Path] = written) -> None:
            if len(written) == cut:
                raise OSError(28, "No space left on device", str(path))
            really(path, content)
            written.append(path)

        monkeypatch.setattr(repository_module, "write_atomically", cut_off)
        with pytest.raises(OSError, match="No space left"):
            clinic.publisher.publish(now=now())
        monkeypatch.setattr(repository_module, "write_atomically", really)
        fresh = Publisher(clinic.ceremony.repository(), clinic.services.database, _policy().canary_shares)
        clinic.services.publisher = fresh  # a server that was started anew
        fresh._files = fresh._load()
        told = clinic.sync()
        assert told["trouble"] is None, cut
        assert f"CUT-{cut}" not in clinic.rules()
        assert fresh.publish(now=now()) is True
        assert clinic.sync()["trouble"] is None
        assert f"CUT-{cut}" in clinic.rules()
    assert [path.name.partition(".")[2] for path in written] == ["stable.json", "synced.json", "snapshot.json"]
