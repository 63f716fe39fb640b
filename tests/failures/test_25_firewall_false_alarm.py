"""Failure 25: a firewall false alarm every minute, because nftables was asked where iptables held the rules.

Here every tool that may hold rules in force is asked, and one that refuses by default is enough.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.content import run_steps, shipped
from tests.support.overlay import overlay_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.overlay import OverlayMachine

pytestmark = pytest.mark.root

NFT: Final = "table inet f {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n"
IPTABLES: Final = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n"
OPEN: Final = IPTABLES.replace("DROP", "ACCEPT")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverlayMachine]:
    with overlay_machine(tmp_path_factory.mktemp("overlay")) as running:
        running.write("/usr/local/sbin/nft", "#!/bin/sh\ncat /run/nft\n", 0o755)
        tool = '#!/bin/sh\nif [ "$1" = -V ]; then echo "v1.8.9 (nf_tables)"; else cat /run/iptables; fi\n'
        for name in ("iptables-save", "ip6tables-save"):
            running.write(f"/usr/local/sbin/{name}", tool, 0o755)
        yield running


@pytest.mark.parametrize(
    ("nft", "iptables", "verdict"),
    [("", IPTABLES, "pass"), (NFT, OPEN, "pass"), (NFT, IPTABLES, "pass"), ("", OPEN, "fail")],
    ids=["iptables alone", "nftables alone", "both", "neither"],
)
def test_whichever_tool_holds_the_rules_they_count(
    machine: OverlayMachine, nft: str, iptables: str, verdict: str
) -> None:
    machine.write("/run/nft", nft)
    machine.write("/run/iptables", iptables)
    catalogue = shipped()
    compiled = catalogue.get("LIN-FW-001")
    assert compiled is not None
    steps = [catalogue.host_step(), *compiled.detect_steps({})]
    results = run_steps(steps, lambda script: machine.run("exec /bin/sh -s", stdin=script).stdout.encode())
    host = replace(catalogue.host_facts(results["@host"]), container=False)
    assert compiled.judge(results, {}, host).verdict == verdict
