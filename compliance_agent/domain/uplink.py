"""Talking to the control plane: what an answer means for each entry, and when the next try is due. Pure decisions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

RETRY_AFTER_MAX_S: Final = 86_400.0
"""Most seconds that a receiver's wish is honoured: a day, so that a slip of its hand silences nobody for good."""

_DOUBLINGS_MAX: Final = 32

# What a status means where the whole batch got it. RFC 9110 sections 15.5 and 15.6, RFC 6585, RFC 8470.
RETRIED: Final = frozenset({408, 425, 429})
"""Statuses below 500 that say: the same again, later."""
HOPELESS: Final = frozenset({400, 409, 413, 415, 422})
"""Statuses that judge what was sent: the same will never be taken."""
# Every other one (401, 403, 404, 410, a redirect) judges neither: something between the two is set up wrongly,
# which a person mends. Nothing is given up for that.


class EntryFate(StrEnum):
    """What became of one entry in one sending."""

    TAKEN = "taken"
    HAD = "had"
    """The receiver has it already: taken, and a duplicate."""
    AGAIN = "again"
    HOPELESS = "hopeless"


@dataclass(frozen=True, slots=True)
class EntryAnswer:
    """What the receiver said of one entry.

    Attributes:
        fate: What becomes of it.
        reason: Why, where it was not taken.

    """

    fate: EntryFate
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one batch.

    Attributes:
        status: Of HTTP; ``None`` where no answer came, or it broke off.
        trouble: What went wrong, one sentence; empty where nothing did.
        entries: What was said of single entries, by id; only with a status of 2xx.
        retry_after_s: Seconds that the receiver asks to wait; ``None`` if it does not say.

    """

    status: int | None
    trouble: str = ""
    entries: Mapping[str, EntryAnswer] = field(default_factory=dict)
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an answer means.

    Attributes:
        entries: Entry id to what becomes of it; empty where ``split`` or ``line_failed`` leaves that open.
        split: The batch was refused as a whole and has several entries: it is to be sent in halves, until the
            one that cannot be taken stands alone.
        line_failed: Nothing more is to be sent for now.
        trouble: Why, one sentence.

    """

    entries: Mapping[str, EntryAnswer]
    split: bool = False
    line_failed: bool = False
    trouble: str = ""


def judge(answer: Answer, entry_ids: Sequence[str]) -> Judgement:
    """Return what an answer means for the entries that were sent. Silence about an entry is no success."""
    status = answer.status
    if status is not None and 200 <= status < 300 and not answer.trouble:  # noqa: PLR2004 - the class of successes
        silent = EntryAnswer(EntryFate.AGAIN, "the receiver did not say what became of it")
        entries = {entry_id: answer.entries.get(entry_id, silent) for entry_id in entry_ids}
        if all(one == silent for one in entries.values()):
            return Judgement({}, line_failed=True, trouble="the receiver said nothing of any entry")
        return Judgement(entries)
    if status in HOPELESS:
        if len(entry_ids) > 1:
            return Judgement({}, split=True, trouble=answer.trouble)
        return Judgement({entry_id: EntryAnswer(EntryFate.HOPELESS, answer.trouble) for entry_id in entry_ids})
    return Judgement({}, line_failed=True, trouble=answer.trouble or f"answered {status}")


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is kept of one entry after it was sent.

    Attributes:
        entry_id: Which.
        fate: What became of it.
        reason: Why, where it was not taken.
        next_try_at: When it is due again, UTC; only with ``EntryFate.AGAIN``.

    """

    entry_id: str
    fate: EntryFate
    reason: str = ""
    next_try_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SendPolicy:
    """How the sender goes about it.

    Attributes:
        batch_rows_max: Most entries in one POST.
        batch_bytes_max: Most bytes of their bodies together; a larger single one travels alone.
        retry_base_s: Upper end of the first wait after a failure; it doubles with each further one.
        retry_max_s: Most that the upper end grows to.
        late_after_s: Age at delivery, in seconds, beyond which an entry counts as late.

    """

    batch_rows_max: int = 100
    batch_bytes_max: int = 1_048_576
    retry_base_s: float = 5.0
    retry_max_s: float = 900.0
    late_after_s: float = 900.0


@dataclass(frozen=True, slots=True)
class UplinkState:
    """How the conversation with the control plane stands.

    Attributes:
        failures: Tries that failed since the last one that did not.
        tried_at: Last try, UTC; ``None`` before the first.
        succeeded_at: Last one that was answered, UTC.
        next_try_at: Not before then, UTC; ``None`` for at once.
        trouble: Why the last try failed; empty when it did not.

    """

    failures: int = 0
    tried_at: datetime | None = None
    succeeded_at: datetime | None = None
    next_try_at: datetime | None = None
    trouble: str = ""

    def is_due(self, now: datetime) -> bool:
        """Tell whether a try is due. A wait that no wish can have made (the clock was set back) is over."""
        if self.next_try_at is None or self.next_try_at <= now:
            return True
        return self.next_try_at > now + timedelta(seconds=RETRY_AFTER_MAX_S)

    def succeeded(self, now: datetime) -> UplinkState:
        """Return the state after a try that was answered."""
        return UplinkState(tried_at=now, succeeded_at=now)

    def failed(
        self, now: datetime, trouble: str, *, policy: SendPolicy, chance: float, retry_after_s: float | None = None
    ) -> UplinkState:
        """Return the state after a try that failed.

        Args:
            now: When it failed, UTC.
            trouble: Why.
            policy: The bounds of the wait.
            chance: Uniform between 0 and 1.
            retry_after_s: What the receiver asked for; never less than that is waited, up to ``RETRY_AFTER_MAX_S``.

        """
        failures = self.failures + 1
        wait = wait_s(failures, policy=policy, chance=chance, retry_after_s=retry_after_s)
        return replace(
            self, failures=failures, tried_at=now, next_try_at=now + timedelta(seconds=wait), trouble=trouble
        )


def wait_s(failures: int, *, policy: SendPolicy, chance: float, retry_after_s: float | None = None) -> float:
    """Return the seconds to wait after the ``failures``-th failure in a row: exponential backoff with full jitter.

    Full jitter (uniform from 0 to the bound) as in M. Brooker, "Exponential Backoff And Jitter", AWS Architecture
    Blog, 2015: of the variants compared there it needs the fewest calls in total.
    """
    bound = min(policy.retry_max_s, policy.retry_base_s * 2.0 ** min(failures - 1, _DOUBLINGS_MAX))
    wish = min(max(retry_after_s or 0.0, 0.0), RETRY_AFTER_MAX_S)
    return max(chance * bound, wish)


def within(bytes_max: int, sizes: Sequence[tuple[int, int]]) -> list[int]:
    """Return the keys of the first ``(key, bytes)`` pairs that fit together; too large a first one comes alone."""
    chosen: list[int] = []
    total = 0
    for key, size in sizes:
        total += size
        if chosen and total > bytes_max:
            break
        chosen.append(key)
    return chosen
