"""From planting a drift on a real OpenSSH server to the verified fix, by the daemon at default settings.

Each machine is an overlay of this one behind its own server (tests/support/overlay.py). On each, drifts
are planted one after another at random moments; the daemon scans every 120 s (jitter 0.1), heals, and
verifies by a fresh detect. The clock of a sample starts when the planting command returned and stops at
the daemon's own event of the verified outcome. "Work" is the part from the start of the scan that found
it: what is not waiting for the next scan.

    python -m benchmarks.time_to_heal [--machines 8] [--interval 120] [-o json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.overlay import overlay_machine

if TYPE_CHECKING:
    from tests.support.overlay import OverlayMachine

if TYPE_CHECKING:
    from collections.abc import Iterable

DRIFTS = {
    "LIN-PERM-001": "chmod 0644 /etc/shadow",
    "LIN-BANNER-001": "rm -f /etc/issue",
    "LIN-SSH-003": "sed -i '/maxauthtries/Id' /etc/ssh/sshd_config; rm -f /etc/ssh/sshd_config.d/*",
}
"""Check to what breaks it. Each is planted once a machine, so that no cooldown is in the way."""

GOAL_P95_S, GOAL_WORK_S = 150.0, 5.0


@dataclass
class Sample:
    """One drift: when it was planted, and what the daemon said of it."""

    machine: str
    check: str
    planted: datetime
    total_s: float = 0.0
    work_s: float = 0.0
    healed: threading.Event = field(default_factory=threading.Event)


class Watcher:
    """Reads the daemon's events and closes samples."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, str], Sample] = {}
        self.scan_began: dict[str, datetime] = {}
        self.in_turn: set[str] = set()
        self.turns: dict[str, int] = {}

    def follow(self, log: Iterable[str]) -> None:
        for line in log:
            event = json.loads(line)
            self.take(event, datetime.fromisoformat(event["timestamp"]))

    def take(self, event: dict[str, Any], at: datetime) -> None:
        name, target = event["event"], str(event.get("target", ""))
        if name == "scan.started" and target not in self.in_turn:
            self.in_turn.add(target)
            self.scan_began[target] = at
        elif name == "turn.finished":
            self.in_turn.discard(target)
            self.turns[target] = self.turns.get(target, 0) + 1
        elif name == "incident.settled" and event["outcome"] == "remediated":
            sample = self.open.pop((target, str(event["check"])), None)
            if sample is not None:
                sample.total_s = (at - sample.planted).total_seconds()
                sample.work_s = (at - self.scan_began[target]).total_seconds()
                sample.healed.set()


def settings_for(folder: Path, machines: dict[str, OverlayMachine], interval_s: int, *, state: str) -> Path:
    known_hosts = folder / "known_hosts"
    known_hosts.write_text("".join(Path(machine.known_hosts).read_text() for machine in machines.values()))
    targets = [
        {
            "id": name,
            "transport": "ssh",
            "host": machine.host,
            "port": machine.port,
            "user": "operator",
            "identity_file": str(machine.identity_file),
            "become": "sudo",
        }
        for name, machine in machines.items()
    ]
    settings = {"site_id": "bench", "state_dir": str(folder / state), "known_hosts": str(known_hosts)}
    path = folder / f"{state}.json"
    path.write_text(json.dumps({**settings, "schedule": {"linux_interval_s": interval_s}, "targets": targets}))
    return path


def drive(name: str, machine: OverlayMachine, watcher: Watcher, samples: list[Sample], interval_s: int) -> None:
    """Plant each drift at a random moment of the interval and wait for its fix."""
    rng = random.Random(name)
    while watcher.turns.get(name, 0) < 1:  # the machine as it should be, first
        time.sleep(0.1)
    for check, breaking in DRIFTS.items():
        time.sleep(rng.uniform(0, interval_s))
        sample = Sample(name, check, datetime.now(UTC))
        watcher.open[(name, check)] = sample
        machine.run(breaking, check=True)
        sample.planted = datetime.now(UTC)
        samples.append(sample)
        if not sample.healed.wait(4 * interval_s):
            print(f"{name} {check}: NOT HEALED within {4 * interval_s} s", file=sys.stderr)
            return
        print(f"{name} {check}: {sample.total_s:.1f} s, of it work {sample.work_s:.2f} s", file=sys.stderr)


def measure(count: int, interval_s: int) -> list[Sample]:
    samples: list[Sample] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        machines: dict[str, OverlayMachine] = {}
        for number in range(count):
            place = folder / f"machine-{number}"
            place.mkdir()
            machines[place.name] = stack.enter_context(overlay_machine(place))
        # The machines as they should be, with a state of its own, so that no cooldown is left from it.
        first = settings_for(folder, machines, interval_s, state="first")
        agent = [sys.executable, "-m", "compliance_agent"]
        subprocess.run([*agent, "apply", "--yes", "-c", str(first)], check=False, stdout=subprocess.DEVNULL)
        settings = settings_for(folder, machines, interval_s, state="state")
        command = [*agent, "run", "-c", str(settings)]
        daemon = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        watcher = Watcher()
        threads = [threading.Thread(target=watcher.follow, args=(daemon.stderr,), daemon=True)]
        for name, machine in machines.items():
            arguments = (name, machine, watcher, samples, interval_s)
            threads.append(threading.Thread(target=drive, args=arguments, daemon=True))
        for thread in threads:
            thread.start()
        for thread in threads[1:]:
            thread.join()
        daemon.terminate()
        daemon.wait(60)
    return samples


def percentile(values: list[float], share: float) -> float:
    """Nearest-rank percentile: the smallest value that at least ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 100 * len(ordered)) // 100) - 1)]


def summary(samples: list[Sample], interval_s: int) -> dict[str, Any]:
    if not samples or not all(one.healed.is_set() for one in samples):
        sys.exit("not every drift was healed; the figures would lie")
    total, work = [one.total_s for one in samples], [one.work_s for one in samples]
    figures = {
        name: {
            "p50": round(statistics.median(values), 2),
            "p95": round(percentile(values, 0.95), 2),
            "max": round(max(values), 2),
        }
        for name, values in (("total_s", total), ("work_s", work))
    }
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}",
        "load": [round(one, 1) for one in os.getloadavg()],
        "interval_s": interval_s,
        "samples": len(samples),
        **figures,
        "goal": {"total_p95_s": GOAL_P95_S, "work_s": GOAL_WORK_S},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, default=8)
    parser.add_argument("--interval", type=int, default=120, help="seconds between scans; 120 is the default setting")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("this benchmark makes machines of its own and needs root for that")
    found = summary(measure(options.machines, options.interval), options.interval)
    if options.output == "json":
        print(json.dumps(found))
        return
    print(f"{found['samples']} drifts on {options.machines} machines, scanned every {options.interval} s")
    print(f"{'':28}{'p50':>8}{'p95':>8}{'max':>8}{'goal':>16}")
    goals = (("total_s", "planted to verified, s", "p95 < 150"), ("work_s", "of it work, s", "< 5"))
    for key, title, goal in goals:
        row = found[key]
        print(f"{title:28}{row['p50']:8.2f}{row['p95']:8.2f}{row['max']:8.2f}{goal:>16}")
    print(f"{found['machine']}; load {found['load']}")


if __name__ == "__main__":
    main()
