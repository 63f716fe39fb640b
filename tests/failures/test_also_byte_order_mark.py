"""Also: a configuration saved with a byte order mark stopped the agent.

Here it is taken off, wherever a person's editor may have put it: settings, rules, runbooks, incidents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.cli import cli
from tests.support.local_site import HEALS, LocalSite

if TYPE_CHECKING:
    from pathlib import Path

BOM = b"\xef\xbb\xbf"


def test_every_file_of_a_site_may_begin_with_one(tmp_path: Path) -> None:
    site = LocalSite(tmp_path).write()
    site.say("bad")
    marked = [site.settings, *(tmp_path / "content").iterdir(), *(tmp_path / "rules").iterdir()]
    for file in marked:
        file.write_bytes(BOM + file.read_bytes())
    done = site("apply", "--yes")
    assert done.returncode == 0, done.stderr
    assert site.says(HEALS) == "good"


def test_so_may_an_incident_that_is_matched(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_bytes(BOM + b'{"rules": [{"rule_id": "A", "incident_pattern": {"a": 1}}]}')
    (tmp_path / "incident.json").write_bytes(BOM + b'{"a": 1}')
    done = cli("match", "--rules", str(tmp_path / "rules.json"), "--incidents", str(tmp_path / "incident.json"))
    assert (done.stdout.split()[-2:], done.returncode) == (["0", "A"], 0), done.stderr
