"""Lives over a small file system of memory that is filled up, or made read-only: ``… FOLDER full | read-only``.

To be run as root in a mount namespace of its own (``unshare -m``); the kernel takes the mount away with it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.harness import Lives, Place, Receiver
from tests.chaos.invariants import check, look, nothing_is_open_any_more
from tests.chaos.life import IN_TROUBLE

if TYPE_CHECKING:
    from tests.chaos.invariants import Aftermath

_SIZE: str = "32m"
_FILLER = "filler"


def _spoil(state: Path, trouble: str) -> None:
    if trouble == "read-only":
        subprocess.run(["mount", "-o", "remount,ro", state], check=True)
        return
    with (state / _FILLER).open("wb", buffering=0) as filler:
        for size in (1_048_576, 4_096):
            try:
                while True:
                    filler.write(bytes(size))
            except OSError:
                pass  # full, or nearly


def _mend(state: Path, trouble: str) -> None:
    if trouble == "read-only":
        subprocess.run(["mount", "-o", "remount,rw", state], check=True)
    else:
        (state / _FILLER).unlink()


def _next_life(lives: Lives, place: Place, before: Aftermath, expected: int, what: str) -> Aftermath:
    place.number += 1
    place.drift()
    status = lives.run(place)
    assert status == expected << 8, f"{what}: {status:#x}"
    return check(place, before, what)


def main() -> None:
    """Run lives before, in and after the trouble."""
    folder, trouble = Path(sys.argv[1]), sys.argv[2]
    with Receiver().serve() as receiver:
        place = Place(folder / "place", receiver)
        state = place.state.parent
        state.mkdir(mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=0700", "tmpfs", state], check=True)
        lives = Lives(folder / "content")
        try:
            before = _next_life(lives, place, look(place), 0, "a life before")
            _spoil(state, trouble)
            for _ in range(3):
                before = _next_life(lives, place, before, IN_TROUBLE, f"a life in trouble ({trouble})")
            _mend(state, trouble)
            before = _next_life(lives, place, before, 0, "a life after")
            nothing_is_open_any_more(before)
        finally:
            lives.close()
    sys.stdout.write("in trouble, and back\n")


if __name__ == "__main__":
    main()
