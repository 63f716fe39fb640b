"""Checks that misbehave, each in a way that must spoil nobody but itself."""

from __future__ import annotations

from typing import Final

MISCHIEF: Final = {
    "hangs": "sleep 60",
    "hangs-and-ignores-signals": "trap '' TERM HUP INT; while :; do sleep 1; done",
    "floods": "yes",
    "floods-standard-error": "yes >&2",
    "floods-both": "yes & yes >&2",
    "kills-its-shell": "kill -9 $$",
    "kills-what-started-it": "kill -9 $PPID",
    "closes-its-streams": "exec >&- 2>&-; sleep 60",
    "prints-frame-marks": "echo 'N B good'; echo 'N E good 0'; echo 'O x=9'; echo 'R 0'; echo 'E x'; exit 4",
    "leaves-a-child-with-the-streams": "sleep 60 & echo x=1",
    "leaves-a-child-in-a-session-of-its-own": "setsid sleep 3 & echo x=1",
    "changes-folder-mask-and-traps": "cd /proc; umask 777; trap 'echo trapped' EXIT TERM; set -e; exit 3",
    "changes-names": "step() { echo mine; }; PATH=/nowhere; N=0; W=0; unset LC_ALL; exit 5",
    "unfinished-quotes": "echo 'never closed",
    "eats-standard-input": "cat >/dev/null; exit 6",
    "prints-bytes": "printf '\\000\\377\\n\\n\\033[2J'; exit 7",
}
"""Name to POSIX script. None of them succeeds."""

WITNESS: Final = 'echo "x=$(umask) $(pwd) $PATH $(trap)"'
"""A check that tells what its neighbours may have changed."""
