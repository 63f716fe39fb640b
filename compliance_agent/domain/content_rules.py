"""What every runbook's scripts and references must keep to, beyond what types and ``shellcheck`` can say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_PARAMETER: Final = re.compile(r"\$\{?(PARAM_[A-Z0-9_]+)")
_REFERENCE: Final = re.compile(r"^(?P<source>[A-Za-z][A-Za-z0-9 ./_-]*): (?P<name>\S(?:.*\S)?)$")
_FORBIDDEN: Final = re.compile(
    r"(?:^|[;&|(]\s*)(?P<word>eval|source|\.|curl|wget|python3?|perl|ruby|nc|ncat)\s", re.MULTILINE
)


def unquoted_parameters(script: str) -> list[tuple[int, str]]:
    """Return each line that uses a parameter outside double quotes: its 1-based number and text.

    A value with a blank or a ``*`` would fall apart there. Strings are taken to end with their line.
    """
    found = []
    for number, line in enumerate(script.splitlines(), 1):
        for match in _PARAMETER.finditer(line):
            before = re.sub(r"'[^'\"]*'", "", line[: match.start()])
            if len(re.findall(r'(?<!\\)"', before)) % 2 == 0:
                found.append((number, line.strip()))
                break
    return found


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
