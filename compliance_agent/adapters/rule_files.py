"""Rule files on disk: the built-in set and the ones that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from compliance_agent.adapters.input_files import read_input, unreadable, within_package
from compliance_agent.errors import InputError
from compliance_agent.wire.document import read_document
from compliance_agent.wire.rule_document import merge_rules, read_rules

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compliance_agent.domain.rule import QuarantinedRule, Rule, RuleSource
    from compliance_agent.errors import InputProblem

__all__ = ["builtin_rules_path", "load_rule_files", "merge_rules"]

SUFFIXES: Final = (".yaml", ".yml", ".json")


def builtin_rules_path() -> Path:
    """Return the folder of the rules that come with the package."""
    return within_package("rules")


def load_rule_files(paths: Sequence[Path], source: RuleSource) -> tuple[list[Rule], list[QuarantinedRule]]:
    """Read rule files in the order given; of a folder, its ``.yaml``, ``.yml`` and ``.json`` files by name.

    Ids are unique in what comes back: a later rule of an id that stood before is quarantined.

    Raises:
        InputError: With every file that cannot be read or is no rules document.

    """
    rules: list[Rule] = []
    quarantined: list[QuarantinedRule] = []
    problems: list[InputProblem] = []
    for path in paths:
        try:
            files = _files(path)
        except OSError as error:
            problems.append(unreadable(path, error))
            continue
        for file in files:
            try:
                document = read_document(read_input(file), source=str(file))
                good, bad = read_rules(document, source=source)
            except InputError as error:
                problems += error.problems
                continue
            rules += good
            quarantined += bad
    if problems:
        raise InputError(problems)
    kept, repeated = merge_rules(rules)
    return kept, [*quarantined, *repeated]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(
        file
        for file in path.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and (file.is_file() or file.is_dir())
    )
