"""Maintenance windows as they stand in the settings: time zones, midnight, and mistakes with their place."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from compliance_agent.app.settings import load_settings
from compliance_agent.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from compliance_agent.domain.gate.windows import MaintenanceWindow

SETTINGS = """\
site_id: clinic
gate:
  windows:
    - name: night
      start: {start}
      end: {end}
      timezone: {zone}
"""


def write(folder: Path, start: str = '"22:00"', end: str = '"05:00"', zone: str = "Europe/Berlin") -> Path:
    path = folder / "settings.yaml"
    path.write_text(SETTINGS.format(start=start, end=end, zone=zone), encoding="utf-8")
    return path


def window(folder: Path, **changes: str) -> MaintenanceWindow:
    (one,) = load_settings(write(folder, **changes)).gate_policy().windows
    return one


def problem(folder: Path, **changes: str) -> tuple[str, str]:
    """Return the only problem, with its place and line, and its hint."""
    with pytest.raises(InputError) as refused:
        load_settings(write(folder, **changes))
    (one,) = refused.value.problems
    return str(one), one.hint


def test_an_end_of_24_is_midnight(tmp_path):
    span = window(tmp_path, end='"24:00"').opening(date(2026, 6, 1))
    assert span is not None
    assert span[1] - span[0] == timedelta(hours=2)


def test_from_midnight_to_midnight_is_the_whole_day(tmp_path):
    span = window(tmp_path, start='"00:00"', end='"24:00"').opening(date(2026, 6, 1))
    assert span is not None
    assert span[1] - span[0] == timedelta(days=1)


@pytest.mark.parametrize(
    ("changes", "line", "said", "hint"),
    [
        ({"start": '"24:00"'}, 5, "which no day begins with", '"00:00"'),
        ({"end": '"24:01"'}, 6, "need a local time", '"22:30"'),
        ({"end": '"5:00"'}, 6, "need a local time", '"22:30"'),
        ({"zone": "Europe/Berln"}, 7, "there is no time zone 'Europe/Berln'", "did you mean Europe/Berlin?"),
        ({"zone": "europe/berlin"}, 7, "there is no time zone", "did you mean Europe/Berlin?"),
        ({"zone": "Europe"}, 7, "there is no time zone", ""),
        ({"zone": '"../../etc/passwd"'}, 7, "there is no time zone", "America/New_York"),
        ({"zone": '"/etc/localtime"'}, 7, "there is no time zone", ""),
        ({"zone": '""'}, 7, "there is no time zone", "America/New_York"),
        ({"zone": '"UTC+1"'}, 7, "there is no time zone", ""),
    ],
)
def test_a_wrong_time_or_zone_is_refused_with_file_line_and_remedy(tmp_path, changes, line, said, hint):
    text, remedy = problem(tmp_path, **changes)
    assert f"settings.yaml:{line}" in text
    assert said in text
    assert hint in remedy


def test_a_window_of_no_length_is_refused(tmp_path):
    text, remedy = problem(tmp_path, end='"22:00"')
    assert "start and end are the same" in text
    assert '"24:00"' in remedy


def test_time_zones_are_known_on_a_machine_without_zone_data_of_its_own(tmp_path):
    """Minimal systems and containers have no /usr/share/zoneinfo."""
    script = (
        "import sys, zoneinfo; zoneinfo.reset_tzpath(to=[]);"
        "from pathlib import Path; from compliance_agent.app.settings import load_settings;"
        "print(load_settings(Path(sys.argv[1])).gate_policy().windows[0].zone)"
    )
    path = write(tmp_path, zone="Australia/Lord_Howe")
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("Australia/Lord_Howe\n", "")
