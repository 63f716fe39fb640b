"""The exported JSON Schemas: fresh, valid, and true of what is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from compliance_agent.adapters.rule_files import builtin_rules_path
from compliance_agent.adapters.runbook_files import builtin_runbooks_path
from compliance_agent.app import schemas
from compliance_agent.app.schemas import json_schemas, schema_texts
from compliance_agent.wire.document import read_document

FOLDER = Path(__file__).parents[3] / "docs" / "reference" / "schemas"
LINUX = builtin_runbooks_path() / "linux"
SHIPPED = [
    *(("runbook", path) for path in sorted(LINUX.glob("*.yaml"))),
    *(("resource", path) for path in sorted((LINUX / "resources").glob("*.yaml"))),
    *(("rules", path) for path in sorted(builtin_rules_path().glob("*.yaml"))),
]


@pytest.mark.parametrize("name", sorted(schema_texts()))
def test_an_exported_schema_is_fresh(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert text == schema_texts()[name], "run: python -m compliance_agent.app.schemas docs/reference/schemas"


def test_no_other_schema_lies_there() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(schema_texts())


@pytest.mark.parametrize("name", sorted(json_schemas()))
def test_a_schema_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(json_schemas()[name])


@pytest.mark.parametrize(("name", "path"), [pytest.param(*pair, id=pair[1].name) for pair in SHIPPED])
def test_shipped_content_fits_its_schema(name: str, path: Path) -> None:
    value = read_document(path.read_bytes(), source=str(path)).value
    assert [error.message for error in Draft202012Validator(json_schemas()[name]).iter_errors(value)] == []


def test_a_mistake_does_not_fit() -> None:
    validator = Draft202012Validator(json_schemas()["settings"])
    assert not validator.is_valid({"site_id": "a", "mod": "observe"})
    assert not validator.is_valid({"site_id": "a", "schedule": {"jitter": "0.1"}})
    assert validator.is_valid({"site_id": "a", "schedule": {"jitter": 0.1}})


def test_the_schemas_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["schemas", str(tmp_path / "new")])
    schemas.main()
    assert {path.name for path in (tmp_path / "new").iterdir()} == set(schema_texts())
