"""The kill switch's file: while it is there, nothing is healed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from compliance_agent.domain.text import printable

if TYPE_CHECKING:
    from pathlib import Path

REASON_MAX: Final = 200
"""Most characters of the file's first line that are shown."""


class FileKillSwitch:
    """``engine.ports.KillSwitch`` over a file. An empty file stops healing just as well."""

    def __init__(self, path: Path) -> None:
        """Name the file; it need not exist."""
        self._path = path

    def reason(self) -> str | None:
        """Return the file's first line; ``None`` where there is no file."""
        try:
            with self._path.open("rb") as file:
                first = file.read(REASON_MAX * 4).decode("utf-8", "replace").split("\n", 1)[0]
        except FileNotFoundError:
            return None
        except OSError as error:  # whoever put something there meant it
            return f"{self._path}: {error.strerror}"
        return printable(first.strip())[:REASON_MAX]
