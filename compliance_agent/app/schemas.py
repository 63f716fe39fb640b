"""JSON Schemas of all that people write, for editors: completion, and mistakes shown while typing; and of reports.

``python -m compliance_agent.app.schemas FOLDER`` writes them; a test says when they are stale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from compliance_agent.app.settings import Settings
from compliance_agent.domain.runbook import Resource, Runbook
from compliance_agent.wire.reports import UndoReport
from compliance_agent.wire.rule_cases import CasesDocument
from compliance_agent.wire.rule_document import RulesDocument
from compliance_agent.wire.target_document import ManagedTargets

if TYPE_CHECKING:
    from compliance_agent.domain.runbook import Model

_MODELS: Final[dict[str, tuple[type[Model], str]]] = {
    "runbook": (Runbook, "A runbook: one check with its remedy"),
    "resource": (Resource, "A resource: a small reviewed function that runbooks use as data"),
    "rules": (RulesDocument, "A rules file: incident pattern to action"),
    "rule-cases": (CasesDocument, "A cases file of rules test: incidents, and what the rules must answer"),
    "settings": (Settings, "The settings file"),
    "undo-report": (UndoReport, "A report to the control plane: a person took an attempt back"),
    "targets": (ManagedTargets, "The managed targets"),
}


def json_schemas() -> dict[str, dict[str, Any]]:
    """Return name -> JSON Schema (draft 2020-12)."""
    schemas = {}
    for name, (model, title) in _MODELS.items():
        schema = model.model_json_schema(by_alias=True)
        head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
        schemas[name] = {**head, **{key: value for key, value in schema.items() if key != "title"}}
    return schemas


def schema_texts() -> dict[str, str]:
    """Return file name -> text, as they stand in ``docs/reference/schemas``."""
    return {
        f"{name}.schema.json": json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for name, schema in json_schemas().items()
    }


def main() -> None:
    """Write the schemas into the folder that the only argument names."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schema_texts().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
