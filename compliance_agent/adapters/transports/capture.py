"""One stream's output, kept up to a limit; the rest is counted out, not stored."""

from __future__ import annotations


class CappedBuffer:
    """Keeps the first ``cap_bytes`` bytes and remembers whether there were more."""

    __slots__ = ("_cap_bytes", "_data", "truncated")

    def __init__(self, cap_bytes: int) -> None:
        """Start empty."""
        self._cap_bytes = cap_bytes
        self._data = bytearray()
        self.truncated = False

    def add(self, chunk: bytes) -> None:
        """Keep what still fits of the chunk."""
        room = self._cap_bytes - len(self._data)
        if len(chunk) > room:
            self.truncated = True
            chunk = chunk[:room]
        self._data += chunk

    def __bytes__(self) -> bytes:
        """Return what was kept."""
        return bytes(self._data)
