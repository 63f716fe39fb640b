"""On whole systems of other distributions: every drift of the table is healed and taken back, by sudo and by root."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.distros.driver import DRIFTS, LOGINS, agent_for, heal_and_take_back, spoiled_machine
from tests.distros.roots import DEBIAN_12, UBUNTU_24_04, root_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.distros.driver import Drift

pytestmark = [pytest.mark.root, pytest.mark.needs("debootstrap")]

# Ubuntu's archive and the keys that vouch for it are not everywhere: who has them names them.
_UBUNTU: Final = [pytest.mark.needs_variable("UBUNTU_MIRROR"), pytest.mark.needs_variable("UBUNTU_KEYRING")]


@pytest.fixture(
    scope="session",
    params=[pytest.param(DEBIAN_12, id="debian-12"), pytest.param(UBUNTU_24_04, id="ubuntu-24.04", marks=_UBUNTU)],
)
def root(request: pytest.FixtureRequest) -> Path:
    return root_of(request.param)


@pytest.mark.parametrize("drift", DRIFTS, ids=str)
def test_drift_is_healed_twice_by_sudo_and_by_root_and_taken_back_byte_for_byte(
    tmp_path: Path, root: Path, drift: Drift
) -> None:
    with spoiled_machine(tmp_path, root, drift) as machine:
        for login in LOGINS:
            with agent_for(tmp_path, machine, drift, login) as agent:
                heal_and_take_back(agent, machine, drift, login)
