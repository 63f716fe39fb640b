"""Few logins begin at one server at a time; servers do not wait for each other."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from compliance_agent.adapters.transports.doorway import Doorway
from compliance_agent.errors import TransportError, TransportFault


def test_beyond_its_places_a_server_keeps_waiting_and_another_does_not() -> None:
    doorway = Doorway(2)
    with ExitStack() as inside:
        for _ in range(2):
            inside.enter_context(doorway.pass_through("a", 22, timeout_s=1))
        with pytest.raises(TransportError) as caught:
            inside.enter_context(doorway.pass_through("a", 22, timeout_s=0.01))
        inside.enter_context(doorway.pass_through("b", 22, timeout_s=0.01))
        inside.enter_context(doorway.pass_through("a", 2222, timeout_s=0.01))
    assert (caught.value.fault, caught.value.retryable) == (TransportFault.TIMED_OUT, True)


def test_a_place_is_given_back_whatever_happened_there() -> None:
    doorway = Doorway(1)
    for _ in range(3):
        with pytest.raises(KeyError), doorway.pass_through("a", 22, timeout_s=1):
            raise KeyError


def test_never_more_are_inside_than_there_are_places() -> None:
    doorway, inside, most = Doorway(3), [0], [0]
    lock = threading.Lock()

    def go() -> None:
        for _ in range(50):
            with doorway.pass_through("a", 22, timeout_s=60):
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                with lock:
                    inside[0] -= 1

    threads = [threading.Thread(target=go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert 1 <= most[0] <= 3
    assert inside == [0]
