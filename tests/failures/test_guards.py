"""Every guard that ``guards.py`` names is taken out in turn, in a copy of the product, and its test has to fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.failures.guards import GUARDS
from tests.support.mutated_copy import MutatedCopy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.failures.guards import Guard

FOLDER: Final = "tests/failures"
OF_THE_PRODUCT: Final = {"AssertionError", "Failed", "ComplianceAgentError"}
"""Ways to fail that speak of behaviour: an assertion, a ``pytest.raises`` that saw nothing, an error that the product
raises. A name that is not there or a syntax error would only prove that the replacement is no program."""


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MutatedCopy]:
    made = MutatedCopy(tmp_path_factory.mktemp("product"))
    yield made
    made.close()


def needs(guard: Guard) -> list[pytest.MarkDecorator]:
    """Return what the guard's test needs of the machine."""
    marks = []
    if guard.test.startswith(("test_25_", "test_also_sudo")):
        marks += [pytest.mark.root, pytest.mark.needs("sudo", "sshd")]
    return marks


@pytest.mark.parametrize("guard", [pytest.param(one, id=str(one), marks=needs(one)) for one in GUARDS])
def test_without_its_guard_the_test_of_a_failure_fails(copy: MutatedCopy, guard: Guard) -> None:
    test = f"{FOLDER}/{guard.test}"
    with copy.without(guard.file, guard.old, guard.new):
        verdict = copy.run(test)
    assert verdict.package == str(copy.folder / "compliance_agent" / "__init__.py")
    assert set(verdict.outcomes) == {test}, verdict.text
    outcome, exception = verdict.outcomes[test]
    assert (outcome, verdict.exit_code) == ("failed", 1), f"it passes without its guard:\n{verdict.text}"
    assert OF_THE_PRODUCT & set(exception), verdict.text


def test_with_every_guard_in_its_place_the_same_tests_pass(copy: MutatedCopy) -> None:
    quick = [f"{FOLDER}/{guard.test}" for guard in GUARDS if guard.failure in {"11", "18", "24", "29", "39"}]
    verdict = copy.run(*dict.fromkeys(quick))
    assert verdict.package == str(copy.folder / "compliance_agent" / "__init__.py")
    assert verdict.exit_code == 0, verdict.text
    assert {outcome for outcome, _ in verdict.outcomes.values()} == {"passed"}
    assert set(verdict.outcomes) == set(quick)
