"""What clauses of a pattern say together about a number or a text: intervals, affixes, networks.

Part of the analysis in ``constraints``. Everything kept here is *necessary*: a value that satisfies
the clauses satisfies it too. So an impossible sum proves that the clauses are contradictory.
Text is what JSON documents of this product hold: no halves of surrogate pairs.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from compliance_agent.domain.json_value import JsonValue

Ordered = TypeVar("Ordered", str, int | Decimal)

Networks: TypeAlias = tuple[tuple[int, int, int], ...]
"""IP version, first and last address as integers; disjoint and in order."""

COMPLEMENT: Final = {"$gt": "$lte", "$gte": "$lt", "$lt": "$gte", "$lte": "$gt"}
"""What an ordering operator leaves, among values of the kind that it compares."""


@dataclass(slots=True)
class Interval(Generic[Ordered]):
    """All values between two ends; ``None`` is no end.

    Attributes:
        low: Lower end.
        high: Upper end.
        low_open: The lower end itself is out.
        high_open: The upper end itself is out.

    """

    low: Ordered | None = None
    high: Ordered | None = None
    low_open: bool = False
    high_open: bool = False

    def narrow(self, operator: str, limit: Ordered) -> None:
        """Take in one more bound: ``$gt``, ``$gte``, ``$lt`` or ``$lte``."""
        is_open = operator in {"$gt", "$lt"}
        if operator in {"$gt", "$gte"}:
            if self.low is None or limit > self.low:
                self.low, self.low_open = limit, is_open
            elif limit == self.low:
                self.low_open = self.low_open or is_open
        elif self.high is None or limit < self.high:
            self.high, self.high_open = limit, is_open
        elif limit == self.high:
            self.high_open = self.high_open or is_open

    @property
    def empty(self) -> bool:
        """Tell whether no value lies between the ends."""
        if self.low is None or self.high is None:
            return False
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))

    @property
    def point(self) -> Ordered | None:
        """Return the only value, or ``None``."""
        return self.low if self.low is not None and self.low == self.high and not self.empty else None

    def within(self, operator: str, limit: Ordered) -> bool:
        """Tell whether every value between the ends satisfies ``operator limit``."""
        if operator in {"$gt", "$gte"}:
            if self.low is None:
                return False
            return self.low > limit or (self.low == limit and (self.low_open or operator == "$gte"))
        if self.high is None:
            return False
        return self.high < limit or (self.high == limit and (self.high_open or operator == "$lte"))


def networks_of(argument: JsonValue) -> Networks:
    """Return the networks of a ``$cidr`` (which its builder has accepted), merged."""
    sources = [argument] if isinstance(argument, str) or not isinstance(argument, Sequence) else argument
    spans = []
    for source in sources:
        network = ipaddress.ip_network(str(source))
        spans.append((network.version, int(network.network_address), int(network.broadcast_address)))
    return _merged(spans)


def _merged(spans: Iterable[tuple[int, int, int]]) -> Networks:
    merged: list[tuple[int, int, int]] = []
    for version, first, last in sorted(spans):
        if merged and merged[-1][0] == version and first <= merged[-1][2] + 1:
            merged[-1] = (version, merged[-1][1], max(merged[-1][2], last))
        else:
            merged.append((version, first, last))
    return tuple(merged)


def _common(left: Networks, right: Networks) -> Networks:
    found = []
    for version, first, last in left:
        start = bisect_right(right, (version, first, first)) - 1
        for index in range(max(start, 0), len(right)):
            other, low, high = right[index]
            if (other, low) > (version, last):
                break
            if other == version and high >= first:
                found.append((version, max(first, low), min(last, high)))
    return tuple(found)


def _inside(inner: Networks, outer: Networks) -> bool:
    for version, first, last in inner:
        index = bisect_right(outer, (version, first, 1 << 128)) - 1
        if index < 0:
            return False
        other, low, high = outer[index]
        if other != version or first < low or last > high:
            return False
    return True


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A ``$wildcard`` in parts: literal runs, and between them the tokens ``*`` and ``?``.

    Attributes:
        runs: Literal runs in order; before, between and after the tokens, so one more than tokens. May be empty.
        tokens: ``*`` (several in a row are one) and ``?``.

    """

    runs: tuple[str, ...]
    tokens: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Wildcard:
        """Part a wildcard that its builder has accepted."""
        runs, tokens = [""], list[str]()
        characters = iter(text)
        for character in characters:
            if character in "*?":
                if not (character == "*" and tokens and tokens[-1] == "*" and not runs[-1]):
                    tokens.append(character)
                    runs.append("")
            else:
                runs[-1] += next(characters) if character == "\\" else character
        return cls(tuple(runs), tuple(tokens))

    @property
    def literal(self) -> str | None:
        """Return the only text that it matches, or ``None``."""
        return None if self.tokens else self.runs[0]

    def simpler(self) -> tuple[str, str] | None:
        """Return the operator and text that mean the same, or ``None``; ``$prefix`` of nothing is any text."""
        head, tail = self.runs[0], self.runs[-1]
        if self.tokens == ("*",) and not tail:
            return ("$prefix", head)
        if self.tokens == ("*",) and not head:
            return ("$suffix", tail)
        if self.tokens == ("*", "*") and not head and not tail:
            return ("$contains", self.runs[1])
        return None


@dataclass(slots=True)
class TextNeeds:
    """What a text must satisfy.

    Attributes:
        bounds: By code point; the empty text is the least.
        prefix: Longest required one.
        suffix: Longest required one.
        parts: Texts that must stand in it.
        folded: What it must be after case folding.
        networks: Where it must lie as an IP address.
        exact: Regular expressions and wildcards that it must match, known by their own text.
        broken: Two of them exclude each other.

    """

    bounds: Interval[str] = field(default_factory=lambda: Interval(low=""))
    prefix: str = ""
    suffix: str = ""
    parts: list[str] = field(default_factory=list)
    folded: str | None = None
    networks: Networks | None = None
    exact: set[tuple[str, str]] = field(default_factory=set)
    broken: bool = False

    def add(self, operator: str, argument: JsonValue) -> None:
        """Take in one more operator (not ``$eq`` and its like)."""
        if operator == "$cidr":
            found = networks_of(argument)
            self.networks = found if self.networks is None else _common(self.networks, found)
            self.broken = self.broken or not self.networks
            return
        assert isinstance(argument, str)  # noqa: S101 - the operators' builders see to it
        if operator in COMPLEMENT:
            self.bounds.narrow(operator, argument)
        elif operator == "$ieq":
            folded = argument.casefold()
            self.broken = self.broken or (self.folded is not None and self.folded != folded)
            self.folded = folded
        elif operator in {"$regex", "$wildcard"}:
            self.exact.add((operator, argument))
            if operator == "$wildcard":
                self._add_wildcard(Wildcard.parse(argument))
        else:
            self._add_affix(operator, argument)

    def _add_wildcard(self, wildcard: Wildcard) -> None:
        if wildcard.literal is not None:
            self.bounds.narrow("$gte", wildcard.literal)
            self.bounds.narrow("$lte", wildcard.literal)
        self._add_affix("$prefix", wildcard.runs[0])
        self._add_affix("$suffix", wildcard.runs[-1])
        self.parts += [run for run in wildcard.runs[1:-1] if run]

    def _add_affix(self, operator: str, text: str) -> None:
        if operator == "$contains":
            self.parts.append(text)
        elif operator == "$prefix":
            longer, shorter = (text, self.prefix) if len(text) > len(self.prefix) else (self.prefix, text)
            self.broken = self.broken or not longer.startswith(shorter)
            self.prefix = longer
        else:
            longer, shorter = (text, self.suffix) if len(text) > len(self.suffix) else (self.suffix, text)
            self.broken = self.broken or not longer.endswith(shorter)
            self.suffix = longer

    @property
    def impossible(self) -> bool:
        """Tell whether certainly no text satisfies all of it."""
        if self.broken or self.bounds.empty or self._outside_bounds():
            return True
        if self.folded is None:
            return False
        # Case folding works character by character, so a part of the text folds to a part of the folded text.
        return not (
            self.folded.startswith(self.prefix.casefold())
            and self.folded.endswith(self.suffix.casefold())
            and all(part.casefold() in self.folded for part in self.parts)
        )

    def _outside_bounds(self) -> bool:
        low, high = self.bounds.low, self.bounds.high
        if low is not None and low > self.prefix and not low.startswith(self.prefix):
            return True
        return high is not None and (high < self.prefix or (high == self.prefix and self.bounds.high_open))

    def satisfies(self, operator: str, argument: JsonValue) -> bool:
        """Tell whether every text that satisfies all of this certainly satisfies one operator more."""
        if operator == "$cidr":
            return self.networks is not None and _inside(self.networks, networks_of(argument))
        if not isinstance(argument, str):
            return False
        if operator in COMPLEMENT:
            return self._within(operator, argument)
        if operator == "$ieq":
            return self.folded == argument.casefold()
        if operator in {"$regex", "$wildcard"}:
            return (operator, argument) in self.exact or (operator == "$wildcard" and self._like(argument))
        return self._holds(operator, argument)

    def _like(self, text: str) -> bool:
        simpler = Wildcard.parse(text).simpler()
        return simpler is not None and self._holds(*simpler)

    def _holds(self, operator: str, text: str) -> bool:
        if operator == "$prefix":
            return self.prefix.startswith(text)
        if operator == "$suffix":
            return self.suffix.endswith(text)
        return any(text in part for part in self._known())

    def _known(self) -> Iterator[str]:
        yield self.prefix
        yield self.suffix
        yield from self.parts

    def _within(self, operator: str, limit: str) -> bool:
        if self.bounds.within(operator, limit):
            return True
        if operator in {"$gt", "$gte"}:  # every text with a prefix is at least that prefix
            return self.prefix > limit or (operator == "$gte" and self.prefix == limit)
        return self.prefix < limit and not limit.startswith(self.prefix)
