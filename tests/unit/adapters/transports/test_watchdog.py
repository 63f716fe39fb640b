"""The watchdog shuts the sockets whose time is up, and only those."""

from __future__ import annotations

import socket

import pytest

from compliance_agent.adapters.transports.watchdog import Watchdog


def test_a_read_without_a_limit_is_freed() -> None:
    near, far = socket.socketpair()
    with near, far:
        with Watchdog().limit(near, 0.05) as guard:
            assert near.recv(1) == b""
        assert guard.fired


def test_the_earlier_of_two_limits_comes_first() -> None:
    watchdog = Watchdog()
    first, second = socket.socketpair()
    with first, second, watchdog.limit(first, 600) as slow:
        other, peer = socket.socketpair()
        with other, peer, watchdog.limit(other, 0.05) as quick:
            assert other.recv(1) == b""
        assert (slow.fired, quick.fired) == (False, True)


@pytest.mark.parametrize("timeout_s", [0.01, 600])
def test_a_block_that_is_over_leaves_its_socket_alone(timeout_s: float) -> None:
    watchdog = Watchdog()
    near, far = socket.socketpair()
    with near, far:
        with watchdog.limit(near, timeout_s) as guard:
            pass
        with watchdog.limit(far, 0.05):
            assert far.recv(1) == b""  # by now the first limit has passed too, where it is short
        fired = guard.fired
        near.settimeout(5)
        assert not fired


def test_a_socket_that_is_closed_already_is_no_trouble() -> None:
    watchdog = Watchdog()
    with socket.socket() as closed:
        pass
    near, far = socket.socketpair()
    with near, far, watchdog.limit(closed, 0), watchdog.limit(near, 0.05) as guard:
        assert near.recv(1) == b""
    assert guard.fired
