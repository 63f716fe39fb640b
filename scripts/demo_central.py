"""The flywheel in two minutes: people mend what no rule matches, it lasts, it becomes a rule, and heals by itself.

Everything is real and on this machine alone: an embedded PostgreSQL, Central Command, signed rules, three appliances
with their daemons, and as "machines" files. Only the thresholds are lowered, and the program says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from central_command.api.app import make_app
from central_command.api.publisher import Publisher
from central_command.api.requests import Services
from central_command.api.serve import Server
from central_command.flywheel.promotion import PromotionPolicy
from central_command.flywheel.sequential import CanaryTest
from central_command.flywheel.stages import StagePolicy
from central_command.postgres.server import PostgresServer, find_sources
from central_command.signing.repository import Repository, found
from central_command.store.access import issue_enrolment_token
from central_command.store.catalogue import read_runbooks, store_runbooks
from central_command.store.database import Database
from central_command.store.fold import fold
from central_command.store.ids import new_id
from central_command.store.migrate import migrate
from central_command.store.promoter import Promoter
from central_command.store.telemetry import keep_partitions
from compliance_agent.adapters.control_plane.enrolment import fingerprint_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from central_command.store.folded import Folded

CHECK: Final = "DEMO-FILE-001"
RUNBOOK: Final = f"""\
schema: runbook/v1
id: {CHECK}
version: 1
title: The file says good
check_type: demo_file
severity: low
platforms: [linux]
controls: {{hipaa: ["164.312(a)(1)"]}}
parameters:
  path: {{type: string, description: the file, default: /nowhere}}
facts:
  text: {{type: string}}
detect:
  privilege: user
  steps: [{{script: 'ca_fact text "$(cat "$PARAM_PATH" 2>/dev/null)"'}}]
pass_when: {{text: good}}
fail_reason: the file does not say good
remediate:
  privilege: user
  steps: [{{script: 'cp "$PARAM_PATH" "$PARAM_PATH.before"; printf good >"$PARAM_PATH"'}}]
rollback:
  privilege: user
  steps: [{{script: 'cp "$PARAM_PATH.before" "$PARAM_PATH"'}}]
"""
CLINICS: Final = ("north", "east", "south")
HOSTS: Final = ("desk-1", "desk-2", "desk-3", "desk-4")
DURABLE_AFTER: Final = timedelta(seconds=4)
PROMOTION: Final = PromotionPolicy(null_rate=0.2, evidence_min=1.0, appliances_min=3, targets_min=1, days_min=1)
STAGES: Final = StagePolicy(
    shadow_time=timedelta(seconds=1),
    shadow_matches_min=3,
    canary_shares=(1.0,),
    canary=CanaryTest(bad_rate=0.2, false_accept=0.3),
)
LOWERED: Final = """\
Lowered for this demonstration, so that three appliances and two minutes are enough (what the server asks for):
  a fix has lasted when it held 4 seconds (7 days); it becomes a rule when it ran on 3 appliances (10), on 1 day (3),
  and surely lasts in more than 20 % of its runs (80 %) with evidence 1 (20); the rule is in shadow for 1 second
  (7 days) and 3 appliances speak for it (10); one step of canary for all (5 %, 25 %, all), accepted after a run on
  each (about 20)."""
_PATIENCE_S: Final = 120.0


def say(text: str) -> None:
    """Tell what happens."""
    print(text, flush=True)


class Central:
    """Central Command in this process, with the lowered thresholds."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        """Start it."""
        source = find_sources({})[0]
        started = time.monotonic()
        server = stack.enter_context(PostgresServer(source, cluster=folder / "cluster"))
        say(f"PostgreSQL {server.version} of our own is up after {time.monotonic() - started:.1f} s")
        self.conninfo = server.conninfo
        migrate(self.conninfo)
        with psycopg.connect(self.conninfo, autocommit=True) as owner:
            keep_partitions(owner, now=datetime.now(UTC))
            store_runbooks(owner, read_runbooks(folder / "runbooks"))
        found(folder / "keys", now=datetime.now(UTC))
        (folder / "keys" / "offline").rename(folder / "offline-keys")
        self.database = stack.enter_context(Database(self.conninfo))
        self.publisher = Publisher(Repository(folder / "keys" / "central"), self.database, STAGES.canary_shares)
        self.publisher.publish(now=datetime.now(UTC))
        services = Services(
            database=self.database,
            now=lambda: datetime.now(UTC),
            monotonic_s=time.monotonic,
            new_id=new_id,
            publisher=self.publisher,
        )
        self.url = stack.enter_context(Server(make_app(services))).url
        over = threading.Event()
        turning = threading.Thread(target=self._turn, args=(over,), name="flywheel")
        turning.start()
        stack.callback(turning.join)
        stack.callback(over.set)

    def token(self, site_id: str) -> str:
        """Return an enrolment token for a new site."""
        with self.database.fleet() as connection:
            connection.execute("INSERT INTO sites (site_id) VALUES (%s)", (site_id,))
            return issue_enrolment_token(
                connection,
                site_id=site_id,
                created_by="demo",
                now=datetime.now(UTC),
                valid_for=timedelta(hours=1),
            )

    def stage(self) -> str:
        """Return the stage of the one rule, empty while there is none."""
        with self.database.fleet() as connection:
            row = connection.execute("SELECT stage FROM l1_rules").fetchone()
        return row[0] if row else ""

    def show_rules(self) -> None:
        """Print ``central-command rules top``."""
        command = [sys.executable, "-m", "central_command", "--database", self.conninfo, "rules", "top"]
        subprocess.run(command, check=True)

    def _turn(self, over: threading.Event) -> None:
        promoter = Promoter(PROMOTION, STAGES, new_id)
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute("SET ROLE central_fleet")
            while not over.wait(1.0):
                now = datetime.now(UTC)

                def move(folded: Folded, now: datetime = now) -> None:
                    for rule_id, step in promoter.apply(connection, folded, now=now):
                        say(f"    {rule_id}: {step.stage.value}: {step.reason}")

                fold(connection, now=now, durable_after=DURABLE_AFTER, then=move)
                self.publisher.publish(now=now)


class Clinic:
    """One appliance with its daemon, and four machines that are files."""

    def __init__(self, folder: Path, name: str, central: Central, stack: ExitStack) -> None:
        """Enrol it and start its daemon."""
        self.name, self.folder = name, folder / name
        self.folder.mkdir()
        targets = []
        for host in HOSTS:
            self._file(host).write_text("good")
            targets.append(
                f"  - {{id: {host}, transport: local, checks: {{include: [{CHECK}]}},"
                f" parameters: {{{CHECK}: {{path: {self._file(host)}}}}}}}"
            )
        self.settings = self.folder / "settings.yaml"
        self.settings.write_text(
            f"site_id: {name}\nstate_dir: {self.folder / 'state'}\n"
            f"runbooks: {{paths: [{folder / 'runbooks' / 'linux'}]}}\n"
            f"schedule: {{linux_interval_s: 5}}\ngate: {{cooldown_s: 0}}\n"
            f"control_plane: {{url: '{central.url}', appliance_id: {name}-1, token_file: {self.folder / 'token'},"
            " sync_interval_s: 10, heartbeat_interval_s: 10}\n"
            "targets:\n" + "\n".join(targets) + "\n"
        )
        root = fingerprint_of(central.publisher.repository.trusted_root())
        say("  " + self.run("enroll", "--root-sha256", root, given=central.token(name)).splitlines()[0])
        log = stack.enter_context((self.folder / "log").open("wb"))
        daemon = subprocess.Popen(self._command("run"), stdout=log, stderr=log)
        stack.callback(daemon.wait)
        stack.callback(daemon.terminate)

    def _file(self, host: str) -> Path:
        return self.folder / f"{host}.txt"

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "compliance_agent", *arguments, "-c", str(self.settings)]

    def run(self, *arguments: str, given: str = "", codes: Sequence[int] = (0,)) -> str:
        """Run one command of the agent and return what it said."""
        done = subprocess.run(self._command(*arguments), input=given, capture_output=True, text=True, check=False)
        if done.returncode not in codes:
            message = f"{' '.join(arguments)}: {done.stderr}"
            raise RuntimeError(message)
        return done.stdout

    def drift(self, host: str) -> None:
        """Have a machine be other than it should be."""
        self._file(host).write_text("bad")

    def is_healed(self, host: str) -> bool:
        """Tell whether it is as it should be."""
        return self._file(host).read_text() == "good"

    def is_waiting(self, host: str) -> bool:
        """Tell whether the agent has found that no rule matches."""
        rows = json.loads(self.run("choose", "-o", "json", codes=(0, 2)))["incidents"]
        return any(row["target"] == host for row in rows)

    def has_rule(self) -> bool:
        """Tell whether a promoted rule acts here."""
        rows = json.loads(self.run("rules", "list", "-o", "json"))["rules"]
        return any(row["source"] == "promoted" and row["state"] == "enabled" for row in rows)


def wait_for(what: str, is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    started = time.monotonic()
    while not is_so():
        if time.monotonic() - started > _PATIENCE_S:
            sys.exit(f"it did not come to this within {_PATIENCE_S:g} s: {what}")
        time.sleep(0.5)
    say(f"  {what} ({time.monotonic() - started:.0f} s)")


def mend_by_hand(clinics: Sequence[Clinic], host: str) -> None:
    """Break one machine of each clinic, and have people choose what mends it."""
    for clinic in clinics:
        clinic.drift(host)
    wait_for(f"each agent reports that no rule matches on {host}", lambda: all(one.is_waiting(host) for one in clinics))
    for clinic in clinics:
        clinic.run("choose", f"{host}/{CHECK}", CHECK, "--reason", "the file is ours")
    say(f"  in each clinic a person chose: compliance-agent choose {host}/{CHECK} {CHECK} --reason ...")
    wait_for(
        "each agent ran it once, through its gate, and verified it", lambda: all(c.is_healed(host) for c in clinics)
    )


def main() -> None:
    """Show it."""
    say(LOWERED)
    with tempfile.TemporaryDirectory(prefix="demo-central-") as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "runbooks" / "linux").mkdir(parents=True)
        (folder / "runbooks" / "linux" / f"{CHECK}.yaml").write_text(RUNBOOK)
        say("\n1. Central Command starts, and three appliances enrol")
        central = Central(folder, stack)
        clinics = [Clinic(folder, clinic, central, stack) for clinic in CLINICS]
        say("\n2. Something breaks that no rule knows; people mend it, and it lasts")
        central.show_rules()
        mend_by_hand(clinics, HOSTS[0])
        wait_for(
            "what lasted became a rule, in shadow: it matches and does not act", lambda: central.stage() == "shadow"
        )
        say("\n3. It happens again; the rule in shadow would have done what people do")
        mend_by_hand(clinics, HOSTS[1])
        wait_for("what people chose lasted: the rule goes into canary", lambda: central.stage() == "canary")
        wait_for("the signed rule has arrived on every appliance", lambda: all(clinic.has_rule() for clinic in clinics))
        say("\n4. It happens again, and nobody has to do anything")
        for clinic in clinics:
            clinic.drift(HOSTS[2])
        wait_for("the agents healed it by the new rule", lambda: all(clinic.is_healed(HOSTS[2]) for clinic in clinics))
        wait_for("it lasted everywhere: the rule is enabled", lambda: central.stage() == "enabled")
        for clinic in clinics:
            clinic.drift(HOSTS[3])
        wait_for("healed by itself", lambda: all(clinic.is_healed(HOSTS[3]) for clinic in clinics))
        say("")
        central.show_rules()
    say("\nNothing is left behind.")


if __name__ == "__main__":
    os.environ["NO_COLOR"] = "1"
    main()
