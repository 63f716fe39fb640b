"""Ids and nonces: the only source of chance for both."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_COUNTER_BITS: Final = 12
_COUNTER_MAX: Final = (1 << _COUNTER_BITS) - 1
_RANDOM_BITS: Final = 62


class SystemIds:
    """UUIDv7 ids (RFC 9562) that never repeat and never go backwards within one process. Thread-safe.

    The twelve bits of ``rand_a`` are a counter (RFC 9562, section 6.2, method 1): it starts at
    random in its lower half with each new millisecond and grows by one within it. When the
    clock is set back, ids keep the last millisecond, so that their order stays the order in which
    they were made.
    """

    def __init__(
        self, *, time_ns: Callable[[], int] = time.time_ns, random_bits: Callable[[int], int] = secrets.randbits
    ) -> None:
        """Take the sources of time (nanoseconds since 1970) and of chance (bits wanted -> integer)."""
        self._time_ns = time_ns
        self._random_bits = random_bits
        self._lock = threading.Lock()
        self._milliseconds = -1
        self._counter = 0

    def new_id(self) -> str:
        """Return a UUIDv7, text."""
        with self._lock:
            milliseconds, counter = self._step()
        value = (milliseconds & ((1 << 48) - 1)) << 80
        value |= 0x7 << 76 | counter << 64 | 0b10 << 62 | self._random_bits(_RANDOM_BITS)
        return str(uuid.UUID(int=value))

    def nonce(self) -> str:
        """Return 32 random lower-case hex digits."""
        return f"{self._random_bits(128):032x}"

    def _step(self) -> tuple[int, int]:
        milliseconds = self._time_ns() // 1_000_000
        if milliseconds > self._milliseconds:
            self._milliseconds, self._counter = milliseconds, self._random_bits(_COUNTER_BITS - 1)
        elif self._counter < _COUNTER_MAX:
            self._counter += 1
        else:  # 2,048 ids or more in one millisecond: borrow from the next one
            self._milliseconds, self._counter = self._milliseconds + 1, self._random_bits(_COUNTER_BITS - 1)
        return self._milliseconds, self._counter
