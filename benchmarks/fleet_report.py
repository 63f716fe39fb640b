"""What the fleet benchmark promised (issue 5, Speed), and whether a run kept it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

OURS: Final = "ours"
BUNDLE_PEERS: Final = ("asyncssh", "parallel-ssh", "fabric")
TITLES: Final = {
    OURS: "ours: one bundle",
    "ours-execs": "ours, 20 exec calls on one connection",
    "ours-connections": "ours, a connection a check",
    "asyncssh": "asyncssh, our bundle",
    "parallel-ssh": "parallel-ssh, our bundle",
    "fabric": "Fabric in threads, our bundle",
    "openssh": "ssh, 50 at once, our bundle",
    "pyinfra": "pyinfra, 20 shell operations",
    "ansible-script": "Ansible, script module, our bundle",
    "ansible-raw": "Ansible, 20 raw tasks",
    "ansible-shell": "Ansible, 20 shell tasks",
}
NOISE: Final = 1.1
"""Within this factor two times are the same."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of one way over all targets, start of the process included.

    Attributes:
        way: A key of ``TITLES``.
        targets: How many.
        wall_s: Seconds until the client ended.
        client_s: CPU seconds of the client and of all that it started.
        server_s: CPU seconds of the servers and of all that they started.
        peak_mb: Most memory of the client's largest process.

    """

    way: str
    targets: int
    wall_s: float
    client_s: float
    server_s: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Kept:
    """Two scans in one process, the second over kept connections."""

    targets: int
    checks: int
    first_s: float
    second_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """One promise."""

    promise: str
    need: str
    got: str
    kept: bool


@dataclass(slots=True)
class Results:
    """All that was measured."""

    cells: list[Cell]
    kept: list[Kept]
    about: dict[str, Any] = field(default_factory=dict)
    idle: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "about": self.about,
            "idle": self.idle,
            "cells": [asdict(cell) for cell in self.cells],
            "kept": [asdict(one) for one in self.kept],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Results:
        """Return what ``as_json`` wrote."""
        cells, kept = [Cell(**one) for one in value["cells"]], [Kept(**one) for one in value["kept"]]
        return cls(cells, kept, value["about"], value["idle"])

    def sizes(self) -> list[int]:
        """Return the numbers of targets, rising."""
        return sorted({cell.targets for cell in self.cells})

    def cell(self, way: str, targets: int) -> Cell | None:
        """Return the medians of a way's runs, or ``None`` if there are none."""
        found = [cell for cell in self.cells if (cell.way, cell.targets) == (way, targets)]
        if not found:
            return None
        fields = ("wall_s", "client_s", "server_s", "peak_mb")
        return Cell(way, targets, *(median(getattr(cell, name) for cell in found) for name in fields))

    def verdicts(self) -> list[Verdict]:
        """Return the promises for which there are figures, at the size that the issue names or the nearest."""
        sizes = self.sizes()
        if not sizes:
            return []
        reference = 50 if 50 in sizes else sizes[-1]
        found = [*self._against_peers(reference), *self._alone(reference), *self._of_kept(), *self._of_size()]
        return [verdict for verdict in found if verdict is not None]

    def _ratio(self, promise: str, way: str, targets: int, need: float, what: str = "wall_s") -> Verdict | None:
        ours, other = self.cell(OURS, targets), self.cell(way, targets)
        if ours is None or other is None:
            return None
        ratio = getattr(other, what) / getattr(ours, what)
        return Verdict(promise, f"{need:g}x or more", f"{ratio:.1f}x", kept=ratio >= need)

    def _against_peers(self, size: int) -> list[Verdict | None]:
        fastest = [cell for way in BUNDLE_PEERS if (cell := self.cell(way, size))]
        ours, last = self.cell(OURS, size), None
        if fastest and ours:
            best = min(fastest, key=lambda cell: cell.wall_s)
            ratio = ours.wall_s / best.wall_s
            promise = "wall against the fastest library with the same bundle"
            last = Verdict(promise, f"{NOISE:g}x or less", f"{ratio:.2f}x ({best.way})", kept=ratio <= NOISE)
        return [
            self._ratio("faster than Ansible, 20 shell tasks", "ansible-shell", size, 55),
            self._ratio("faster than Ansible, 20 raw tasks", "ansible-raw", size, 10),
            self._ratio("less client CPU than Ansible, 20 raw tasks", "ansible-raw", size, 30, "client_s"),
            self._ratio("faster than Ansible's script module", "ansible-script", size, 2),
            self._ratio("less client CPU than Ansible's script module", "ansible-script", size, 4, "client_s"),
            self._ratio("faster than pyinfra", "pyinfra", size, 5),
            last,
        ]

    def _alone(self, size: int) -> list[Verdict | None]:
        ours, bound = self.cell(OURS, size), None
        if ours is not None:
            cores = int(self.about["cores"])
            ratio = ours.wall_s / ((ours.client_s + ours.server_s) / cores)
            bound = Verdict(f"wall against the {cores}-core bound", "1.2x or less", f"{ratio:.2f}x", kept=ratio <= 1.2)
        return [
            self._ratio("faster than 20 exec calls on one connection", "ours-execs", size, 1.6),
            self._ratio("faster than a connection a check", "ours-connections", size, 5),
            bound,
        ]

    def _of_kept(self) -> list[Verdict | None]:
        found: list[Verdict | None] = []
        for checks, most in ((20, 0.65), (1, 0.25)):
            shares = [one.second_s / one.first_s for one in self.kept if one.checks == checks]
            if shares:
                share = median(shares)
                promise = f"second scan against the first, {checks} check{'s' if checks > 1 else ''}"
                found.append(Verdict(promise, f"{most:g} or less", f"{share:.2f}", kept=share <= most))
        return found

    def _of_size(self) -> list[Verdict | None]:
        found: list[Verdict | None] = []
        size = self.sizes()[-1]
        cell = self.cell(OURS, size)
        if cell is not None:
            got = f"{cell.peak_mb:.0f} MB at {size} targets"
            found.append(Verdict("peak memory", "under 60 MB at 300 targets", got, kept=cell.peak_mb < 60))
        if self.idle:
            share = self.idle["share"] * 100
            got = f"{share:.2f} % with {self.idle['connections']:.0f}"
            found.append(Verdict("idle cost of kept connections", "under 0.5 % of a core with 200", got, share < 0.5))
        return found


def rows(results: Results, size: int) -> list[list[str]]:
    """Return the table of one size: way, wall, client CPU, servers' CPU, peak."""
    found = []
    for way, title in TITLES.items():
        cell = results.cell(way, size)
        if cell is not None:
            found.append(
                [title, f"{cell.wall_s:.1f}", f"{cell.client_s:.1f}", f"{cell.server_s:.1f}", f"{cell.peak_mb:.0f}"]
            )
    return found


def markdown(results: Results) -> str:
    """Return the block of docs/PERFORMANCE.md."""
    about = results.about
    lines = [
        f"{about['date']}, {about['machine']}; `{about['command']}`, medians of {about['rounds']}.",
        "Clients and servers share the cores.",
        "",
        *_table(("promise", "needed", "measured", ""), [_verdict_row(one) for one in results.verdicts()]),
    ]
    for size in results.sizes():
        lines += ["", f"{size} targets, {about['checks']} checks:", ""]
        lines += _table(("way", "wall s", "client CPU s", "servers' CPU s", "peak MB"), rows(results, size))
    return "\n".join([*lines, "", "![Wall time against the number of targets](fleet.svg)"])


def _verdict_row(verdict: Verdict) -> list[str]:
    return [verdict.promise, verdict.need, verdict.got, "reached" if verdict.kept else "**missed**"]


def _table(header: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---", *("---:" for _ in header[1:])]
    return ["| " + " | ".join(line) + " |" for line in (header, rule, *body)]
