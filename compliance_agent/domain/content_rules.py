"""What every runbook's scripts and references must keep to, beyond what types and ``shellcheck`` can say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_PARAMETER: Final = re.compile(r"\$\{?(PARAM_[A-Z0-9_]+)")
_ARITHMETIC: Final = r"\$\(\([^()]*(?:\([^()]*\)[^()]*)*\)\)"
"""``$((...))``: nothing falls apart in it."""
_INSIDE: Final = re.compile(rf'\\.|{_ARITHMETIC}|\$\(|"', re.DOTALL)
"""What matters between double quotes."""
_OUTSIDE: Final = re.compile(
    rf"""\\.|{_ARITHMETIC}|(?<![^\s;&|(])\#[^\n]*|'[^']*'|\$\{{?PARAM_[A-Z0-9_]+|\$?\(|[)"]|\b(?:case|esac)\b""",
    re.DOTALL,
)
"""What matters elsewhere; comments and single quotes are taken whole."""
_REFERENCE: Final = re.compile(r"^(?P<source>[A-Za-z][A-Za-z0-9 ./_-]*): (?P<name>\S(?:.*\S)?)$")
_FORBIDDEN: Final = re.compile(
    r"(?:^|[;&|(]\s*)(?P<word>eval|source|\.|curl|wget|python3?|perl|ruby|nc|ncat)\s", re.MULTILINE
)


def unquoted_parameters(script: str) -> list[tuple[int, str]]:
    """Return each line that uses a parameter outside double quotes: its 1-based number and text.

    A value with a blank or a ``*`` would fall apart there. Quotes are followed over lines and into ``$(...)``; what
    stands in single quotes is no use of a parameter. Here-documents are read as if they were commands.
    """
    lines = script.splitlines()
    found = dict.fromkeys(script.count("\n", 0, place) for place in _unquoted(script))
    return [(number + 1, lines[number].strip()) for number in found]


def _unquoted(script: str) -> Iterator[int]:
    """Yield the offset of every parameter that stands outside quotes."""
    # Open quotes and brackets, innermost last; beside each bracket how many "case ... esac" are open in it, whose
    # patterns end in a bracket that closes nothing.
    levels: list[tuple[str, int]] = [("(", 0)]
    place = 0
    while token := (_INSIDE if levels[-1][0] == '"' else _OUTSIDE).search(script, place):
        place = token.end()
        text, (kind, cases) = token.group(), levels[-1]
        if text == '"':
            if kind == '"':
                levels.pop()
            else:
                levels.append(('"', 0))
        elif text in {"(", "$("}:
            levels.append(("(", 0))
        elif text == ")" and not cases and len(levels) > 1:
            levels.pop()
        elif text in {"case", "esac"}:
            levels[-1] = (kind, max(0, cases + (1 if text == "case" else -1)))
        elif text.startswith(("$P", "${")):
            yield token.start()


def unknown_parameters(script: str, declared: Collection[str]) -> list[tuple[int, str]]:
    """Return each use of a parameter that is not declared: its line and its name as the script writes it."""
    names = {f"PARAM_{name.upper()}" for name in declared}
    return [
        (number, name)
        for number, line in enumerate(script.splitlines(), 1)
        for name in _PARAMETER.findall(line)
        if name not in names
    ]


def forbidden_commands(script: str) -> list[tuple[int, str]]:
    """Return each command that evaluates text or reaches for the network: its line and the word."""
    return [
        (script.count("\n", 0, match.start("word")) + 1, match["word"])
        for match in _FORBIDDEN.finditer(script)
        if not script[script.rfind("\n", 0, match.start("word")) + 1 : match.start("word")].lstrip().startswith("#")
    ]


def reference_problem(reference: str, known: Mapping[str, Collection[str]]) -> str:
    """Return what is wrong with a reference, or an empty string.

    Args:
        reference: ``SOURCE: NAME``, such as ``ComplianceAsCode: service_sshd_enabled``.
        known: Source to its names. A source that is not there is somebody's own, and its names are not judged.

    """
    match = _REFERENCE.match(reference)
    if match is None:
        return "is no reference of the form SOURCE: NAME"
    source = match["source"]
    if source not in known:
        if source.startswith("CIS ") or source.lower().replace(" ", "") == "complianceascode":
            return f"names the source {source}, which is none of {', '.join(sorted(known))}"
        return ""
    return "" if match["name"] in known[source] else f"names {match['name']}, which {source} does not have"


def citation_problems(citations: Collection[str], known: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with HIPAA citations.

    Args:
        citations: Of one runbook, such as ``164.312(a)(1)``.
        known: Those of the Security Rule.

    """
    for citation in citations:
        if citation not in known:
            yield f"{citation} is no standard or specification of 45 CFR 164.308 to 164.312"
