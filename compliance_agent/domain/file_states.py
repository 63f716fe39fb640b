"""What files of a machine were like at one moment, and which of them differ at another.

The proof that a rollback restored what was: it asks the machine itself and knows nothing of what a runbook keeps.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from compliance_agent.domain.bundle import BundleStep
from compliance_agent.errors import ComplianceAgentError

if TYPE_CHECKING:
    from collections.abc import Mapping

FileStates: TypeAlias = "Mapping[str, frozenset[str]]"
"""Path to what is known of it: kind, mode, owner; of a file its SHA-256 too, of a link where it leads."""

STEP_ID: Final = "@files"
TIMEOUT_S: Final = 120
OUTPUT_MAX_BYTES: Final = 16 * 1_048_576

# In /tmp and /var/log everybody writes all the time: there mode and owner count, of what was there before and after.
_SCRIPT: Final = r"""
tab=$(printf '\t')
for tree in /etc /boot /usr/local/etc /var/spool/cron; do
  [ -d "$tree" ] || continue
  find "$tree" -xdev ! -type l -exec stat -c "strict${tab}%a %u:%g %F${tab}%n" {} + || :
  find "$tree" -xdev -type l -exec stat -c "strict${tab}link${tab}%N" {} + || :
  find "$tree" -xdev -type f -exec sha256sum {} + || :
done
for tree in /tmp /var/tmp /dev/shm /var/log; do
  [ -d "$tree" ] || continue
  find "$tree" -xdev ! -type l -exec stat -c "loose${tab}%a %u:%g${tab}%n" {} + || :
done
"""

BACKUPS: Final = frozenset({"/etc/group-", "/etc/gshadow-", "/etc/passwd-", "/etc/shadow-", "/etc/.pwd.lock"})
"""What the tools for accounts themselves leave behind at every change, a restoring one included."""

_DIGEST: Final = re.compile(r"^\\?([0-9a-f]{64})  (/.*)$")
_STATED: Final = re.compile(r"^(strict|loose)\t([^\t]*)\t(.*)$")


def files_step() -> BundleStep:
    """Return the step that lists the files that a remedy may touch. It changes nothing."""
    return BundleStep(STEP_ID, _SCRIPT, timeout_s=TIMEOUT_S, needs_root=True)


def read_file_states(output: str) -> FileStates:
    """Return what the step printed; a line that is no listing (of a name with a line break) counts as itself.

    Raises:
        ComplianceAgentError: There is no file with a digest in it: a tool was missing, or nothing could be read.

    """
    found: dict[str, set[str]] = {}
    digests = 0
    for line in output.split("\n"):
        if (digest := _DIGEST.match(line)) is not None:
            digests += 1
            found.setdefault(digest[2], set()).add(digest[1])
        elif (stated := _STATED.match(line)) is not None:
            found.setdefault(stated[3], set()).add(f"{stated[1]} {stated[2]}")
        elif line:
            found.setdefault(line, set()).add("")
    if not digests:
        raise ComplianceAgentError(
            "the machine did not say what its files are like", hint="it needs find, stat and sha256sum"
        )
    return {path: frozenset(states) for path, states in found.items() if path not in BACKUPS}


def differing(before: FileStates, after: FileStates) -> tuple[str, ...]:
    """Return the paths that are not what they were, in order: made, removed, or with other content, mode or owner."""
    return tuple(
        sorted(
            path
            for path in before.keys() | after.keys()
            if before.get(path) != after.get(path) and not _comes_and_goes(before.get(path), after.get(path))
        )
    )


def _comes_and_goes(before: frozenset[str] | None, after: frozenset[str] | None) -> bool:
    states = before if after is None else after if before is None else None
    return states is not None and all(state.startswith("loose ") for state in states)
