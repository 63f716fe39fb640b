"""``name = value`` in all its spellings: separators, quotes, braces, blocks of YAML, XML, options, prose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from compliance_agent.domain.scrubbing.detectors import BLANK, Detector, by_pattern, compiled, decoded
from compliance_agent.domain.scrubbing.names import (
    ends_in_a_secret,
    is_harmless,
    names_a_code,
    names_a_secret,
    words_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compliance_agent.domain.scrubbing.detectors import Span

_NAME: Final = r"[A-Za-z_][\w.-]*"
_HEAD: Final[Any] = compiled(
    rf"(?P<phrase>(?:[A-Za-z][\w-]*{BLANK}){{0,2}}{_NAME})(?:\[[\w\"']*\]"
    rf"|{BLANK}?\([\w ]{{0,20}}\))?\\*[\"']?[\])]?{BLANK}*"
    rf"(?P<separator>=>|:=|->|==?|::?){BLANK}*"
)
# Each alternative captures what goes. An unquoted value ends at a space, or where punctuation ends it or leads to the
# next `name=`; a comma or semicolon in between is part of it.
_VALUE: Final[Any] = compiled(
    r"(?:\\+\"([^\"\r\n]*?)\\+\"|@?\"((?:[^\"\\\r\n]|\\.|\"\")*)(?:\"|\\?$)|\\+'([^'\r\n]*?)\\+'|'((?:[^'\r\n]|'')*)(?:'|$)"
    r"|(\[?\[removed\])|\[([^\]\r\n]{0,300})\]"
    rf"|([^\s\"']\S*?)(?:[,;&)}}.]*(?:\s|\z)|[,;&]{BLANK}*[A-Za-z_][\w. -]*\\*[\"']?{BLANK}*[=:]"
    r"|\\*[\"'][,;:)}\]\s]|\\*[\"']\z|</|\\[nr]))"
)
_BRACED: Final[Any] = compiled(r"\{((?:[^}\r\n]|\}\}){0,300})\}")
_REST: Final[Any] = compiled(r"([^\r\n\"'|=:]*[^\s\"'|=:,;)])[ \t]*\r?$")
_BLOCK: Final[Any] = compiled(r"[|>]?[+-]?[0-9]?[+-]?[ \t]*(?:#[^\n]*)?\r?\n")
_ITEM: Final[Any] = compiled(r"[ \t]*(?:-[ \t]+)?[\"']?([^\s\"'][^\r\n]*?)[\"']?,?[ \t]*\r?$")
_LINE_HEAD: Final[Any] = compiled(r"(?:\A|[\r\n])[ \t>*-]*\z")
# What every name of a secret has in it; it only saves looking closer at the others.
_STEMS: Final[Any] = compiled(
    r"pass|pwd|pw|kennwort|psk|secret|token|cred|key|pin|otp|puk|mfa|auth|cookie|sess|community"
)
_LINE_LOOK: Final = 200
_PROSE_WORDS_MAX: Final = 5


def _named_values(text: bytes) -> Iterator[Span]:
    if _STEMS.search(text) is None:
        return
    position = 0
    while (head := _HEAD.search(text, position)) is not None:
        position = head.end()
        if _STEMS.search(head.group(b"phrase")) is None:
            continue
        name, separator = decoded(head.group(b"phrase")), decoded(head.group(b"separator"))
        name = _name_of(name)
        if not name:
            continue
        found = _block(text, head, name) if separator in {":", "="} else None
        if found is None:
            found = _value(text, head, name, separator)
        yield from found
        position = max([position, *(end for _, end in found)])


def _name_of(phrase: str) -> str:
    """Return the part of a phrase that names a secret, or nothing: the last word, or several (``Private key``)."""
    last = phrase.rsplit(maxsplit=1)[-1]
    if names_a_secret(last) or names_a_code(last) or words_of(last)[-1:] == ["community"]:
        return last
    return phrase if last != phrase and ends_in_a_secret(phrase) else ""


def _value(text: bytes, head: Any, name: str, separator: str) -> list[Span]:  # noqa: ANN401 - re2 is untyped
    position = head.end()
    if ":" not in separator and (braced := _BRACED.match(text, position)) is not None:
        inner = decoded(braced.group(1))
        return [] if inner.startswith(("{", "%")) or is_harmless(name, inner) else [braced.span(1)]
    if text[position : position + 1] == b"{":  # an object of JSON: its own names tell
        return []
    found = _VALUE.match(text, position)
    if found is None:
        return []
    span = next(found.span(number) for number in range(1, _VALUE.groups + 1) if found.span(number)[0] >= 0)
    if span[0] == span[1] or is_harmless(name, decoded(text[slice(*span)])):
        return []
    return [_to_line_end(text, head, name, separator, span)]


def _to_line_end(text: bytes, head: Any, name: str, separator: str, span: Span) -> Span:  # noqa: ANN401 - re2 is untyped
    """Return the rest of the line where a line of its own gives a pass phrase of several words."""
    before = text[max(0, head.start() - _LINE_LOOK) : head.start()]
    if separator != ":" or not _LINE_HEAD.search(before) or names_a_code(name):
        return span
    rest = _REST.match(text, head.end())
    if rest is None or (len(rest.group(1).split()) > _PROSE_WORDS_MAX and "phrase" not in name.lower()):
        return span
    return (span[0], max(span[1], rest.end(1)))


def _block(text: bytes, head: Any, name: str) -> list[Span] | None:  # noqa: ANN401 - re2 is untyped
    """Return the lines of YAML that stand below a name, further in than it: a block scalar, a list, a folded word.

    ``None`` where the line itself has the value.
    """
    opening = _BLOCK.match(text, head.end())
    if opening is None or names_a_code(name):
        return None
    scalar = opening.group()[:1] in {b"|", b">"}
    indent = _indent(text, head.start())
    spans: list[Span] = []
    position = opening.end()
    while position < len(text):
        end = text.find(b"\n", position)
        end = len(text) if end < 0 else end
        line = text[position:end].rstrip()
        if line.strip():
            depth = len(line) - len(line.lstrip())
            is_item = line.lstrip().startswith(b"- ")
            if depth < indent or (depth == indent and (scalar or not is_item)):
                break
            found = _ITEM.match(text, position, end)
            word = decoded(found.group(1)) if found is not None else ""
            if found is None or (not scalar and (len(word.split()) != 1 or word.endswith(":"))):
                break
            if not is_harmless(name, word):
                spans.append((position + depth, position + len(line)) if scalar else found.span(1))
        position = end + 1
    return spans


def _indent(text: bytes, position: int) -> int:
    """Return how far in the line is that holds this place; the dash of a list counts as a space."""
    start = text.rfind(b"\n", max(0, position - _LINE_LOOK), position) + 1
    line = text[start:position]
    return len(line) - len(line.lstrip(b" \t-"))


def _is_no_secret(before: str, value: str) -> bool:
    name = before.strip(" \t\"'-/=<>:,(").split(" ")[-1]
    return is_harmless(name, value)


def _option_spares(before: str, value: str) -> bool:
    name = before.strip(" \t\r\n\"'-=(,[")
    if name.lower() in {"credential", "credentials"}:  # PowerShell's takes the name of an account, or an object
        return True
    return not names_a_secret(name) or value.startswith(("-", "(", "$", "|", ">")) or is_harmless(name, value)


def _element_spares(before: str, value: str) -> bool:
    tag = before.strip("<>/ \t\r\n").replace("<", " ").replace(">", " ").split()
    names = [name for name in tag if "=" not in name]
    return not any(_name_of(name) for name in names) or is_harmless(names[0], value)


def _pair_spares(before: str, value: str) -> bool:
    return not any(
        names_a_secret(word) for word in (decoded(word) for word in _PAIR_WORDS.findall(before.encode()))
    ) or is_harmless("", value)


def _is_plain(_before: str, value: str) -> bool:
    kinds = [any(test(letter) for letter in value) for test in (str.isalpha, str.isdigit)]
    return not all(kinds) or is_harmless("", value)


def _bracket_spares(before: str, value: str) -> bool:
    return value.lstrip("[") == "removed" or _prose_spares(before, value)


def _prose_spares(_before: str, value: str) -> bool:
    bare = value.strip("\"'`.,;!")
    quoted = value[:1] in {'"', "'", "`"}
    return is_harmless("", bare) or (len(bare) < _PROSE_LEAST and not quoted)


_PROSE_LEAST: Final = 4
_NOUN: Final = r"(?:pass(?:word|phrase|code|wd)|secret|pre-?shared[ -]key|api[ -]?key|token|pwd)"
_QUOTED: Final = r"\"[^\"\r\n]+\"|'[^'\r\n]+'|`[^`\r\n]+`|“[^”\r\n]{1,99}”"


_PAIR_WORDS: Final[Any] = compiled(_NAME)

VALUES: Final = (
    # - name: DB_PASSWORD / value: x (Kubernetes), {"Key": "apiKey", "Value": "x"}, <add key="pw" value="x"/>
    by_pattern(
        "name-and-value",
        "value data",
        rf"\b(?:name|key|setting|variable)\\*[\"']?{BLANK}*[:=]{BLANK}*\\*[\"']?{_NAME}\\*[\"']?[\s,;]+"
        rf"(?:-[ \t]+)?\\*[\"']?"
        rf"(?:value|data)\\*[\"']?{BLANK}*[:=]{BLANK}*(?:\\*\"([^\"\r\n\\]+)|\\*'([^'\r\n\\]+)|([^\s\"'\\][^\s\"']*))",
        spares=_pair_spares,
    ),
    Detector("named-value", _named_values),
    by_pattern(
        "option",
        "-",
        rf"(?:^|[\s\"'(,\[])--?{_NAME}\"?,?(?:{BLANK}+|=)(\"[^\"\r\n]*\"|'[^'\r\n]*'|[^\s\"']+)",
        spares=_option_spares,
    ),
    by_pattern(
        "xml-element",
        "</",
        rf"<(?:[\w-]+:)?{_NAME}(?:[ \t][^<>\r\n]*)?>\s*(?:<(?:value|string)>)?([^<>\r\n]+)</",
        spares=_element_spares,
    ),
    # The password for joe is X; password to X; the word itself quoted: password "X"
    by_pattern(
        "prose",
        "pass secret key token pwd",
        rf"\b{_NOUN}(?:{BLANK}+(?:for|of){BLANK}+\S+?)?{BLANK}*(?:\b(?:is|was|are)(?:{BLANK}+(?:now"
        rf"|set to|still))?:?|set to|changed to|reset to){BLANK}+"
        rf"({_QUOTED}|[^\s\"'`“]+)(?:[.,;!]?(?:$|{BLANK}*$)|[,;!.](?:\s|\\)|\"|'|{BLANK}+(?:and|for|on|at|but|now)\b)",
        spares=_prose_spares,
    ),
    by_pattern(
        "prose-mixed",
        "pass secret key token pwd",
        rf"\b{_NOUN}{BLANK}+(?:(?:for|of){BLANK}+\S+?{BLANK}+)?(?:is|was|are|to){BLANK}+"
        rf"([^\s\"'`]*[A-Za-z][^\s\"'`]*[0-9!@#$%^&*][^\s\"'`]*"
        rf"|[0-9]{{4,}}[A-Za-z][^\s\"'`]*)",
        spares=_prose_spares,
    ),
    by_pattern(
        "quoted",
        "pass secret key token pwd",
        rf"\b\w*{_NOUN}{BLANK}+(?:for{BLANK}+\S+{BLANK}+)?({_QUOTED})",
        spares=_prose_spares,
    ),
    # The arguments of a call: of PHP's define, of Java's setProperty.
    by_pattern(
        "call",
        "(",
        rf"\({BLANK}*[\"']{_NAME}[\"']{BLANK}*,{BLANK}*[\"']([^\"'\r\n]+)[\"']",
        spares=_pair_spares,
    ),
    by_pattern(
        "setting-element",
        "<value",
        rf"\bname=[\"']{_NAME}[\"'][^<>\r\n]*>\s*<value>([^<>\r\n]+)<",
        spares=_pair_spares,
    ),
    by_pattern(
        "in-brackets",
        "pass secret",
        rf"\b(?:password|passphrase|secret){BLANK}*\[([^\]\s=]+)\]",
        spares=_bracket_spares,
    ),
    by_pattern(
        "token-word",
        "token key",
        rf"\b(?:token|api[ -]?key|secret[ -]key|auth[ -]key){BLANK}+([\w.~+/-]{{8,}})",
        spares=_is_plain,
    ),
    by_pattern(
        "code",
        "pin code",
        rf"\b(?:(?:gpio{BLANK})?pin|passcode|(?:door|access|alarm|keypad|entry|gate|unlock|security){BLANK}code)"
        rf"(?:{BLANK}(?:code|number))?(?:{BLANK}is)?{BLANK}*[:=#]?{BLANK}*(\d{{4,12}})(?:$|[^\w.])",
        spares=lambda before, _value: before.lower().startswith("gpio"),
    ),
    by_pattern(
        "password-for",
        "pass secret key token pwd",
        rf"\b{_NOUN}{BLANK}+(?:for|of){BLANK}+\S+?[\"']?{BLANK}*:{BLANK}*([^\s\"']+)",
        spares=_is_no_secret,
    ),
)
