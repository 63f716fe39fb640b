"""The verdicts of the fleet benchmark: each promise at both sides of its edge, and what is kept as JSON."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.fleet_report import OURS, Cell, Kept, Results, markdown
from benchmarks.fleet_servers import addresses

_OURS = Cell(OURS, 50, 10.0, 4.0, 14.0, 40.0)


def _kept(*others: Cell, **more: object) -> dict[str, bool]:
    results = Results([_OURS, *others], [], {"cores": 2})
    for name, value in more.items():
        setattr(results, name, value)
    return {verdict.promise: verdict.kept for verdict in results.verdicts()}


@pytest.mark.parametrize(
    ("way", "promise", "wall_s"),
    [
        ("ansible-shell", "faster than Ansible, 20 shell tasks", 550.0),
        ("ansible-raw", "faster than Ansible, 20 raw tasks", 100.0),
        ("ansible-script", "faster than Ansible's script module", 20.0),
        ("pyinfra", "faster than pyinfra", 50.0),
        ("ours-execs", "faster than 20 exec calls on one connection", 16.0),
        ("ours-connections", "faster than a connection a check", 50.0),
    ],
)
def test_a_ratio_of_walls_is_kept_from_its_edge_on(way: str, promise: str, wall_s: float) -> None:
    at = Cell(way, 50, wall_s, 1.0, 1.0, 1.0)
    assert _kept(at)[promise]
    assert not _kept(replace(at, wall_s=wall_s * 0.99))[promise]


@pytest.mark.parametrize(("way", "times"), [("ansible-raw", 30), ("ansible-script", 4)])
def test_a_ratio_of_client_cpu_is_kept_from_its_edge_on(way: str, times: int) -> None:
    at = Cell(way, 50, 1_000.0, 4.0 * times, 1.0, 1.0)
    (promise,) = [name for name in _kept(at) if name.startswith("less client CPU")]
    assert _kept(at)[promise]
    assert not _kept(replace(at, client_s=at.client_s * 0.99))[promise]


@pytest.mark.parametrize(("wall_s", "kept"), [(9.2, True), (9.0, False)])
def test_the_fastest_library_may_be_faster_by_no_more_than_noise(wall_s: float, kept: bool) -> None:
    peers = [Cell("asyncssh", 50, wall_s, 1.0, 1.0, 1.0), Cell("fabric", 50, 30.0, 1.0, 1.0, 1.0)]
    assert _kept(*peers)["wall against the fastest library with the same bundle"] is kept


@pytest.mark.parametrize(("server_s", "kept"), [(13.0, True), (12.0, False)])
def test_the_bound_is_all_cpu_over_the_cores(server_s: float, kept: bool) -> None:
    results = Results([replace(_OURS, server_s=server_s)], [], {"cores": 2})
    assert [verdict.kept for verdict in results.verdicts() if "bound" in verdict.promise] == [kept]


@pytest.mark.parametrize(
    ("checks", "second_s", "kept"), [(20, 6.5, True), (20, 6.6, False), (1, 2.5, True), (1, 2.6, False)]
)
def test_a_second_scan_may_cost_so_much_of_the_first(checks: int, second_s: float, kept: bool) -> None:
    found = _kept(kept=[Kept(50, checks, 10.0, second_s)])
    assert [value for name, value in found.items() if name.startswith("second scan")] == [kept]


@pytest.mark.parametrize(("share", "kept"), [(0.0049, True), (0.005, False)])
def test_idle_connections_may_cost_so_much_of_a_core(share: float, kept: bool) -> None:
    assert _kept(idle={"connections": 200, "share": share})["idle cost of kept connections"] is kept


def test_figures_survive_json_and_medians_count() -> None:
    cells = [replace(_OURS, wall_s=wall_s) for wall_s in (30.0, 10.0, 11.0)]
    about = {"cores": 2, "date": "d", "machine": "m", "command": "c", "rounds": 3, "checks": 20}
    results = Results.from_json(Results(cells, [], about).as_json())
    assert results.cell(OURS, 50) == replace(_OURS, wall_s=11.0)
    assert "| ours: one bundle | 11.0 | 4.0 | 14.0 | 40 |" in markdown(results)


def test_every_target_has_an_address_of_its_own() -> None:
    found = addresses(600)
    assert len(set(found)) == 600
    assert {found[0], found[249], found[250], found[599]} == {"127.0.1.1", "127.0.1.250", "127.0.2.1", "127.0.3.100"}
