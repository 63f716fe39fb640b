"""The locks are complete, name no place, and keep pyproject.toml's bounds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from pathlib import Path

LOCKS = ("runtime", "dev", "bench")
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def lock_text(root: Path, name: str) -> str:
    return (root / "requirements" / f"{name}.lock").read_text()


def pins(root: Path, name: str) -> dict[str, str]:
    return {canonicalize_name(found): version for found, version in PIN.findall(lock_text(root, name))}


def demands(root: Path, pyproject: dict[str, Any], name: str) -> list[Requirement]:
    lines = [*pyproject["project"]["dependencies"], *pyproject["build-system"]["requires"]]
    lines += [
        line
        for line in (root / "requirements" / "build.in").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    if name != "runtime":
        lines += pyproject["project"]["optional-dependencies"][name]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_a_hash(root, name) -> None:
    entries = re.split(r"\n(?=[A-Za-z0-9])", lock_text(root, name))
    pinned = [entry for entry in entries if PIN.match(entry)]
    assert [entry for entry in pinned if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_is_a_pin_a_hash_or_a_comment(root, name) -> None:
    allowed = re.compile(r"^(#.*|    --hash=sha256:[0-9a-f]{64}( \\)?|    #.*|[A-Za-z0-9._-]+==[^ ]+( ; [^\\]+)? \\|)$")
    assert [line for line in lock_text(root, name).splitlines() if not allowed.match(line)] == []


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_place(root, name) -> None:
    assert re.findall(r"://|--(?:extra-)?index-url|--find-links|--trusted-host|file:/", lock_text(root, name)) == []


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_all_that_pyproject_asks_for_within_its_bounds(root, pyproject, name) -> None:
    locked = pins(root, name)
    missed = [
        str(demand)
        for demand in demands(root, pyproject, name)
        if not demand.specifier.contains(locked.get(canonicalize_name(demand.name), "0"))
    ]
    assert missed == []


def test_developers_test_the_versions_that_users_get(root) -> None:
    runtime, dev = pins(root, "runtime"), pins(root, "dev")
    assert {name: dev.get(name) for name in runtime} == runtime


def test_benchmarks_measure_the_versions_that_users_get_and_developers_test(root) -> None:
    dev, bench = pins(root, "dev"), pins(root, "bench")
    both = dev.keys() & bench.keys()
    assert pins(root, "runtime").keys() <= both
    assert {name: bench[name] for name in both} == {name: dev[name] for name in both}


def test_every_dependency_has_a_lower_bound_and_no_upper_one(pyproject) -> None:
    lines = [*pyproject["project"]["dependencies"], *pyproject["build-system"]["requires"]]
    operators = {line: [part.operator for part in Requirement(line).specifier] for line in lines}
    assert operators == {line: [">="] for line in lines}
