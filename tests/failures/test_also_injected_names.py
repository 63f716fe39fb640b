"""Also: a job name that came from outside was put into a command, and ran.

Here names and parameters are data, whatever they hold, and a service name that could be more is refused with its rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.domain.bundle import BundleStep
from compliance_agent.domain.parameters import environment
from compliance_agent.engine.admission import refusal
from tests.support.content import execute_here, run_steps, shipped
from tests.support.turns import rule

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = ["x; touch {f}", "$(touch {f})", "`touch {f}`", "x' ; touch {f} ; '", "x\ntouch {f}\n", "x & touch {f}"]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_parameter_holds_is_never_run(tmp_path: Path, text: str) -> None:
    made = tmp_path / "made"
    value = text.format(f=made)
    step = BundleStep("step", 'printf "%s" "$PARAM_JOB" | od -An -c | wc -c', environment({"job": value}))
    result = run_steps([step], execute_here)["step"]
    assert not made.exists()
    assert result.exit_code == 0


@pytest.mark.parametrize("text", HOSTILE)
def test_a_service_name_that_holds_more_is_refused_with_its_rule(text: str) -> None:
    name = text.format(f="/tmp/x")
    assert "is no service name" in refusal(rule("LIN-FW-001", f"restart_service:{name}"), shipped())
