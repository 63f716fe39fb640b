"""A change that may cut the agent off counts when a new login confirms it; else the old session takes it back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import pytest

from compliance_agent.adapters.runbook_files import builtin_runbooks_path, load_catalogue
from compliance_agent.domain.outcome import OutcomeKind
from compliance_agent.domain.target import TransportKind
from compliance_agent.engine.admission import admit
from compliance_agent.engine.ports import RunResult
from compliance_agent.errors import TransportError, TransportFault
from compliance_agent.testing import bundle_output
from tests.support.turns import RUNBOOK, make_world, rule

if TYPE_CHECKING:
    from pathlib import Path

    from compliance_agent.domain.target import Target
    from tests.support.turns import World

CHECK = "TEST-DOOR-001"
HOST = (
    "hostname=door\nos_id=debian\nos_like=\nos_version=12\nkernel=6\nlogin_user=operator\n"
    "is_root=true\nsystemd=true\ncontainer=false\n"
)


@dataclass
class Door:
    """A machine that shuts the door where a test says so; tells what was asked of which session."""

    opens: int = 0
    text: str = "bad"
    helps: bool = True
    refuses_new: bool = False
    refuses_disarm: bool = False
    breaks_after_change: bool = False
    asked: list[tuple[int, str]] = field(default_factory=list)

    def open(self, target: Target, *, fresh: bool = False) -> Any:
        del target
        self.opens += 1
        if self.refuses_new and self.opens > 2:  # the scan and the deed came in before
            raise TransportError(TransportFault.AUTH_FAILED, "the door is shut")
        return _Session(self, self.opens, fresh=fresh)


@dataclass
class _Session:
    door: Door
    number: int
    fresh: bool
    kept: bool = False

    def run(self, script: str, *, timeout_s: float, output_max_bytes: int) -> RunResult:
        del timeout_s, output_max_bytes
        door = self.door
        kind = next((name for name in ("arm", "disarm", "take") if f"deadman-{name}" in script), "detect")
        door.asked.append((self.number, f"{kind} in a new login" if self.fresh else kind))
        if door.breaks_after_change and (self.number, kind) == (2, "take"):
            raise TransportError(TransportFault.CLOSED, "the connection was lost")
        steps = {f"{CHECK}/deadman-{kind}": ("", 0), f"{CHECK}/0": ("", 0)}
        if kind == "detect":
            steps = {"@host": (HOST, 0), f"{CHECK}/0": (f"text={door.text}", 0)}
        elif kind == "arm":
            door.text = "good" if door.helps else "bad"
        elif kind == "take":
            door.text = "bad"
        elif door.refuses_disarm:
            steps = {f"{CHECK}/deadman-disarm": ("", 1)}
        return RunResult(0, bundle_output(script, steps), b"", truncated=False, timed_out=False, duration_s=1.0)

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = make_world(tmp_path, CHECK)
    text = RUNBOOK.format(id=CHECK, remedy="true", path="/nothing").replace("privilege: user", "privilege: root")
    content = tmp_path / "door"
    content.mkdir()
    (content / f"{CHECK}.yaml").write_text(text.replace("remediate:\n", "remediate:\n  confirm_within_s: 60\n"))
    catalogue = load_catalogue([builtin_runbooks_path(), content])
    rules, _ = admit([rule(CHECK)], catalogue)
    made.with_engine(catalogue=catalogue, rules=rules)
    return made


def heal(world: World, door: Door) -> Any:
    world.with_engine(transports={TransportKind.SSH: door})
    world.target = replace(world.target, transport=TransportKind.SSH, host="door", user="operator")
    return world.outcome()


def test_the_session_that_logged_in_anew_and_saw_it_pass_confirms(world):
    door = Door()
    assert heal(world, door).kind is OutcomeKind.REMEDIATED
    assert door.asked == [(1, "detect"), (2, "arm"), (3, "detect in a new login"), (3, "disarm in a new login")]


def test_where_no_new_login_works_the_old_session_takes_it_back(world):
    door = Door(refuses_new=True)
    outcome = heal(world, door)
    assert outcome.kind is OutcomeKind.VERIFY_FAILED
    assert outcome.reason == "the target could not be asked: the door is shut; rolled back"
    assert door.asked[1:] == [(2, "arm"), (2, "take")]
    assert door.text == "bad"


def test_where_the_old_session_is_gone_too_the_machine_is_left_to_its_timer(world):
    outcome = heal(world, Door(refuses_new=True, breaks_after_change=True))
    assert outcome.kind is OutcomeKind.VERIFY_FAILED
    assert outcome.reason.endswith("rolling back failed: the door is shut; the target takes it back by itself")


def test_what_does_not_pass_is_not_confirmed(world):
    door = Door(helps=False)
    outcome = heal(world, door)
    assert outcome.kind is OutcomeKind.VERIFY_FAILED
    assert [kind for _, kind in door.asked] == ["detect", "arm", "detect in a new login", "take"]


def test_a_confirmation_that_comes_too_late_is_no_success(world):
    door = Door(refuses_disarm=True)
    outcome = heal(world, door)
    assert outcome.kind is OutcomeKind.VERIFY_FAILED
    assert "the change could not be confirmed: step TEST-DOOR-001/deadman-disarm" in outcome.reason
    assert door.asked[-1] == (2, "take")
