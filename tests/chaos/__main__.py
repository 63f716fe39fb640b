"""Lists every write of an agent's life: ``python -m tests.chaos``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.chaos.harness import a_copy, a_place, write_points
from tests.chaos.scenarios import SCENARIOS


def main() -> None:
    """Print the writes of each scenario, numbered."""
    with tempfile.TemporaryDirectory() as content:
        for name, scenario in SCENARIOS.items():
            with a_place(Path(content)) as (lives, place):
                scenario(lives, place)
                with a_copy(place) as rehearsal:
                    points = write_points(lives, rehearsal)
                    folder = str(rehearsal.folder)
            sys.stdout.write(f"{name}: {len(points)} writes\n")
            for number, point in enumerate(points, 1):
                sys.stdout.write(f"  {number:4} {str(point).replace(folder, '')}\n")


if __name__ == "__main__":
    main()
