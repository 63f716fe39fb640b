"""Ids, real and fake, and the clock."""

from __future__ import annotations

import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC

import pytest

from compliance_agent.adapters.clock import SystemClock
from compliance_agent.adapters.ids import SystemIds
from compliance_agent.testing import FakeClock, FakeIds


@pytest.mark.parametrize("ids", [SystemIds(), FakeIds()], ids=["system", "fake"])
class TestEverySource:
    def test_an_id_is_a_uuid_of_version_7(self, ids) -> None:
        value = uuid.UUID(ids.new_id())
        assert (value.version, value.variant) == (7, uuid.RFC_4122)
        assert str(value) == str(value).lower()

    def test_ids_come_in_the_order_of_their_text(self, ids) -> None:
        made = [ids.new_id() for _ in range(2_000)]
        assert made == sorted(set(made))

    def test_many_threads_never_get_the_same_id(self, ids) -> None:
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _: ids.new_id(), range(4_000)))
        assert len(set(made)) == len(made)

    def test_a_nonce_is_32_hex_digits_and_never_the_same(self, ids) -> None:
        made = [ids.nonce() for _ in range(100)]
        assert all(re.fullmatch(r"[0-9a-f]{32}", nonce) for nonce in made)
        assert len(set(made)) == 100


def milliseconds_of(text: str) -> int:
    return uuid.UUID(text).int >> 80


def test_an_id_holds_the_time_in_milliseconds() -> None:
    # The example of RFC 9562, appendix A.6: its time, counter and random bits.
    ids = SystemIds(
        time_ns=lambda: 0x017F22E279B0 * 1_000_000,
        random_bits=lambda bits: 0x18C4DC0C0C07398F if bits == 62 else 0x4C3,
    )
    assert ids.new_id() == "017f22e2-79b0-74c3-98c4-dc0c0c07398f"


def test_within_a_millisecond_ids_count_up() -> None:
    ids = SystemIds(time_ns=lambda: 1_000_000, random_bits=lambda _bits: 0)
    assert [ids.new_id()[15:18] for _ in range(3)] == ["000", "001", "002"]


def test_a_full_counter_borrows_from_the_next_millisecond() -> None:
    ids = SystemIds(time_ns=lambda: 1_000_000, random_bits=lambda _bits: 0)
    made = [ids.new_id() for _ in range(4_097)]
    assert made == sorted(set(made))
    assert [milliseconds_of(made[0]), milliseconds_of(made[-1])] == [1, 2]


def test_a_clock_that_is_set_back_does_not_turn_the_order_round() -> None:
    times = iter([5_000_000, 2_000_000, 3_000_000, 6_000_000])
    ids = SystemIds(time_ns=lambda: next(times))
    made = [ids.new_id() for _ in range(4)]
    assert made == sorted(set(made))
    assert [milliseconds_of(text) for text in made] == [5, 5, 5, 6]


@pytest.mark.parametrize("clock", [SystemClock(), FakeClock()], ids=["system", "fake"])
def test_a_clock_tells_utc(clock) -> None:
    assert clock.now().tzinfo is UTC
