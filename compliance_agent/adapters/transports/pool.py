"""Logged-in connections that are kept for the next session with the same target, for a while.

A connection belongs to at most one session at a time. One is kept for each way of logging in, and closed when it
was idle for too long, is too old, or makes room for a newer one. A thread looks after them while there are any.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from compliance_agent.adapters.transports.link import Link


class ConnectionPool:
    """Links by key, the one kept last at the end. Thread-safe."""

    def __init__(self, *, idle_limit_s: float, age_limit_s: float, size_max: int) -> None:
        """Start empty.

        Args:
            idle_limit_s: How long one is kept unused; 0 keeps none.
            age_limit_s: How long after its login one may be used at all.
            size_max: Most that are kept; beyond, the one that was idle longest is closed.

        """
        self._idle_limit_s = idle_limit_s
        self._age_limit_s = age_limit_s
        self._size_max = size_max
        self._changed = threading.Condition()
        self._kept: OrderedDict[Hashable, tuple[Link, float]] = OrderedDict()
        self._keeper: threading.Thread | None = None
        self._closed = False

    def __len__(self) -> int:
        """Return how many are kept now."""
        with self._changed:
            return len(self._kept)

    def take(self, key: Hashable) -> Link | None:
        """Hand out the link of ``key``, which is then the caller's; ``None`` where none is fit to be used."""
        with self._changed:
            link, _ = self._kept.pop(key, (None, 0.0))
            self._changed.notify()
        if link is not None and self._is_stale(link):
            link.close()
            return None
        return link

    def give(self, key: Hashable, link: Link) -> None:
        """Keep a link for the next session, in place of an older one; or close it, where it cannot be kept."""
        surplus = [link]
        with self._changed:
            if self._idle_limit_s > 0 and not self._closed and not self._is_stale(link):
                older, _ = self._kept.pop(key, (None, 0.0))
                surplus = [older] if older else []
                self._kept[key] = (link, time.monotonic() + self._idle_limit_s)
                while len(self._kept) > self._size_max:
                    surplus.append(self._kept.popitem(last=False)[1][0])
                self._see_to_keeper()
        for one in surplus:
            one.close()

    def drop(self, key: Hashable) -> None:
        """Close what is kept for ``key``."""
        with self._changed:
            link, _ = self._kept.pop(key, (None, 0.0))
            self._changed.notify()
        if link is not None:
            link.close()

    def close(self) -> None:
        """Close all that is kept, and from now on whatever comes back."""
        with self._changed:
            self._closed = True
            links = [link for link, _ in self._kept.values()]
            self._kept.clear()
            self._changed.notify()
            keeper = self._keeper
        for link in links:
            link.hang_up()  # all at once first, so that their threads end side by side
        for link in links:
            link.close()
        if keeper is not None:
            keeper.join()

    def _is_stale(self, link: Link) -> bool:
        return time.monotonic() - link.opened_s >= self._age_limit_s

    def _see_to_keeper(self) -> None:
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._look_after, name="ssh-keeper", daemon=True)
            self._keeper.start()

    def _look_after(self) -> None:
        """Close what is idle for too long, until nothing is kept; the first is due first."""
        while True:
            with self._changed:
                if not self._kept:
                    self._keeper = None
                    return
                key, (link, until_s) = next(iter(self._kept.items()))
                wait_s = until_s - time.monotonic()
                if wait_s > 0:
                    self._changed.wait(wait_s)
                    continue
                del self._kept[key]
            link.close()
