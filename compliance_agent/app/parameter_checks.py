"""Settings against the catalogue: runbooks that they name, and values that they give to parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from compliance_agent.domain.parameters import ParameterError, problem_with, substitute
from compliance_agent.domain.pattern import PatternError, compile_pattern
from compliance_agent.wire.validation import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compliance_agent.domain.catalogue import Catalogue, CompiledRunbook
    from compliance_agent.errors import InputProblem
    from compliance_agent.wire.located import Located, Path


def table_problems(
    document: Located,
    path: Path,
    table: Mapping[str, Any],
    catalogue: Catalogue,
    base: Mapping[str, Mapping[str, Any]],
) -> Iterator[InputProblem]:
    """Yield what is wrong with a table whose keys are runbook ids.

    Args:
        document: Where the table stands.
        path: Its place there.
        table: Runbook id to parameter values (or to anything else, of which only the id is judged).
        catalogue: All runbooks.
        base: Parameter values that hold where the table gives none.

    """
    for runbook_id, given in table.items():
        compiled = catalogue.get(runbook_id)
        place = (*path, runbook_id)
        if compiled is None:
            hint = did_you_mean(runbook_id, [one.id for one in catalogue])
            yield document.problem(place, f"there is no runbook {runbook_id}", hint)
        elif isinstance(given, Mapping):
            problems = list(_value_problems(document, place, given, compiled))
            yield from problems
            if not problems:
                yield from _use_problems(document, place, {**base.get(runbook_id, {}), **given}, compiled)


def _value_problems(
    document: Located, place: Path, given: Mapping[str, Any], compiled: CompiledRunbook
) -> Iterator[InputProblem]:
    schemas = compiled.runbook.parameters
    for name, value in given.items():
        if name not in schemas:
            message = f"{compiled.id} has no parameter {name}"
            yield document.problem((*place, name), message, did_you_mean(name, schemas))
            continue
        problem = problem_with(schemas[name], value)
        if problem:
            yield document.problem((*place, name), f"the value {problem}")


def _use_problems(
    document: Located, place: Path, given: Mapping[str, Any], compiled: CompiledRunbook
) -> Iterator[InputProblem]:
    """Try the values where the runbook uses them: in its resources and its patterns."""
    runbook = compiled.runbook
    guards = runbook.remediate.guards if runbook.remediate else ()
    patterns = [runbook.pass_when, *([runbook.applies_when] if runbook.applies_when else []), *(g.when for g in guards)]
    try:
        values = compiled.parameters(given)
        compiled.detect_steps(values)
        compiled.remediate_steps(values, attempt_id="judged-only")
        compiled.rollback_steps(values, attempt_id="judged-only")
        for pattern in patterns:
            compile_pattern(substitute(pattern, values))
    except (ParameterError, PatternError) as error:
        yield document.problem(place, f"{compiled.id} cannot work with these values: {error}")
