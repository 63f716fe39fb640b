"""The scrubber: takes secrets and personal data out of what machines print, before it is kept, logged or signed.

It must remove these and nothing else: IP addresses, ports, versions, clock offsets, SHA-256
fingerprints and digests stay, since people decide by them. It is the last of several guards (no
secret should be there at all), so where a value *might* be one, it goes. What it knows stands in
the tables of :mod:`compliance_agent.domain.scrubbing`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.scrubbing.commands import COMMANDS
from compliance_agent.domain.scrubbing.detectors import REMOVED, Table
from compliance_agent.domain.scrubbing.names import is_harmless, names_a_code, names_a_secret
from compliance_agent.domain.scrubbing.personal import PERSONAL, names_personal_data
from compliance_agent.domain.scrubbing.shapes import SHAPES
from compliance_agent.domain.scrubbing.values import VALUES

if TYPE_CHECKING:
    from compliance_agent.domain.json_value import JsonValue

DETECTORS: Final = (*SHAPES, *COMMANDS, *VALUES, *PERSONAL)
"""All that is looked for, in this order."""

_TABLE: Final = Table(DETECTORS)

PASSES_MAX: Final = 8
CUT: Final = " [cut]"
_KEY_LENGTH: Final = 40
FLOOD_TIMES: Final = 4
"""How many times the length that is kept is looked at; scrubbing all of a flood would take for ever."""


class ScrubError(Exception):
    """The scrubber cannot vouch for its own result. What it was given must not be signed or sent."""


def scrub(text: str) -> str:
    """Return ``text`` with secrets and personal data replaced by ``[removed]``. Scrubbing twice changes nothing.

    Half a surrogate pair, which is no character and could hide part of a secret, becomes U+FFFD. A text of which
    the scrubber is not sure goes as a whole.
    """
    settled, sure = _settle(text)
    return settled if sure else REMOVED


def scrub_surely(text: str) -> str:
    """Return :func:`scrub`, or refuse: for text that will be signed, which cannot be taken back.

    Raises:
        ScrubError: However often it is scrubbed, another scrubbing would take out more.

    """
    settled, sure = _settle(text)
    if not sure:
        raise ScrubError(f"this text is still not clean after {PASSES_MAX} scrubbings")
    return settled


def _settle(text: str) -> tuple[str, bool]:
    """Scrub until nothing changes: what one detector took out may have hidden something from an earlier one."""
    text = _whole(text)
    for _ in range(PASSES_MAX):
        cleaned = _scrub_once(text)
        if cleaned == text:
            return text, True
        text = cleaned
    return text, False


def _whole(text: str) -> str:
    """Return the text with halves of surrogate pairs, which are no characters, as U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _scrub_once(text: str) -> str:
    return _TABLE.remove(text.encode()).decode("utf-8", "replace")


def scrub_document(document: Mapping[str, JsonValue], *, length_max: int) -> dict[str, JsonValue]:
    """Return a JSON object as it may be signed: every text in it scrubbed, then cut.

    A field whose *name* says that it holds a secret or personal data loses its text or number, whatever that
    looks like. Half a surrogate pair, which is no character, becomes U+FFFD.

    Args:
        document: Any JSON object.
        length_max: Most characters of one text; longer ones end in `` [cut]``.

    Raises:
        ScrubError: A text of which the scrubber is not sure.

    """
    return {_key(key, length_max): _value(value, length_max, key) for key, value in document.items()}


def _key(key: str, length_max: int) -> str:
    return _short_key(key, length_max) if len(key) <= _KEY_LENGTH else _text(key, length_max)


@functools.lru_cache(maxsize=2048)  # the same few names are in every document
def _short_key(key: str, length_max: int) -> str:
    return _text(key, length_max)


def _value(value: JsonValue, length_max: int, name: str) -> JsonValue:
    if isinstance(value, str):
        return REMOVED if _must_go(name, value) else _text(value, length_max)
    if isinstance(value, Mapping):
        return scrub_document(value, length_max=length_max)
    if isinstance(value, Sequence):
        return [_value(item, length_max, name) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return REMOVED if _must_go(name, str(value)) else value
    return value


def _must_go(name: str, value: str) -> bool:
    """Tell whether the name of a field condemns its value."""
    if not value or not (names_a_secret(name) or names_a_code(name) or names_personal_data(name)):
        return False
    return not is_harmless(name, value)


def _text(text: str, length_max: int) -> str:
    whole = _whole(text).replace("\0", "\ufffd")
    head = whole if len(whole) <= FLOOD_TIMES * length_max else _head(whole, FLOOD_TIMES * length_max)
    safe = scrub_surely(head)
    return safe if len(safe) <= length_max else safe[: length_max - len(CUT)] + CUT


def _head(text: str, length: int) -> str:
    """Return the start of a flood, cut at a space, so that no half of a secret is left at its end."""
    head = text[:length]
    return head[: max(head.rfind(" "), head.rfind("\n"), length // 2)]
