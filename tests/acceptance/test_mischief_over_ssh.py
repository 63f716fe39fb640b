"""Every misbehaving check at once, in one bundle over a real SSH server, between two that tell what they see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compliance_agent.adapters.credentials import CredentialReader
from compliance_agent.adapters.known_hosts import KnownHosts
from compliance_agent.adapters.transports.ssh import SshOptions, SshTransport
from compliance_agent.domain.bundle import BundleStep, compile_bundle, parse_bundle
from tests.support.mischief import MISCHIEF, WITNESS
from tests.support.sshd import start_sshd

if TYPE_CHECKING:
    from pathlib import Path

NONCE = "0123456789abcdef" * 2


@pytest.mark.parametrize("quick", [False, True])
def test_all_mischief_in_one_session_spoils_nobody_else_nor_the_connection(tmp_path: Path, quick: bool) -> None:
    steps = []
    for name, script in MISCHIEF.items():
        steps += [BundleStep(name, script, timeout_s=1), BundleStep(f"after-{name}", WITNESS)]
    bundle = compile_bundle([BundleStep("first", WITNESS), *steps], nonce=NONCE, output_max_bytes=1_000, quick=quick)
    ids = ["first", *(step.step_id for step in steps)]
    with start_sshd(tmp_path) as server:
        transport = SshTransport(SshOptions(idle_limit_s=60), KnownHosts.load([server.known_hosts]), CredentialReader())
        with transport.open(server.target()) as session:
            run = session.run(bundle, timeout_s=120, output_max_bytes=1_000_000)
        results = parse_bundle(run.stdout, nonce=NONCE, step_ids=ids, output_max_bytes=1_000)
        with transport.open(server.target()) as session:
            assert session.kept
        transport.close()
    seen = results["first"].stdout
    assert (run.timed_out, run.exit_code, seen.startswith("x=0077 / /")) == (False, 0, True)
    allowed = {"leaves-a-child-with-the-streams", "kills-what-started-it"} if quick else set()
    assert {name for name in MISCHIEF if results[name].succeeded} <= allowed
    assert {name: results[f"after-{name}"].stdout for name in MISCHIEF} == dict.fromkeys(MISCHIEF, seen)
