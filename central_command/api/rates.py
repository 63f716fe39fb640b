"""How often one appliance may ask one route: a token bucket for each, so that a burst on one never blocks another."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

_KEYS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Rate:
    """What a bucket holds and gains.

    Attributes:
        burst: Requests that may come at once.
        per_s: Requests a second in the long run.

    """

    burst: float
    per_s: float


class RateLimiter:
    """Token buckets by key, in memory: each server process counts for itself. Thread-safe."""

    def __init__(self) -> None:
        """Begin with every bucket full."""
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, ...], tuple[float, float]] = {}

    def wait_s(self, key: tuple[str, ...], rate: Rate, *, now_s: float, take: bool = True) -> float:
        """Take one token, and return 0; or take none, and return the seconds until there is one.

        Args:
            key: Whose bucket.
            rate: What it holds and gains.
            now_s: Monotonic seconds.
            take: False to ask only.

        """
        with self._lock:
            tokens, at = self._buckets.get(key, (rate.burst, now_s))
            tokens = min(rate.burst, tokens + max(0.0, now_s - at) * rate.per_s)
            if tokens < 1:
                self._buckets[key] = (tokens, now_s)
                return (1 - tokens) / rate.per_s
            if not take:
                return 0.0
            if len(self._buckets) >= _KEYS_MAX:
                self._buckets.clear()  # forgetting is generous; growing without end is not
            self._buckets[key] = (tokens - 1, now_s)
            return 0.0
