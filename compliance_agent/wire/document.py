"""A document of either kind: JSON when its name ends so, else YAML."""

from __future__ import annotations

from compliance_agent.wire.json_document import read_json
from compliance_agent.wire.located import Located
from compliance_agent.wire.yaml_document import read_yaml


def read_document(data: str | bytes, *, source: str) -> Located:
    """Read a document; of JSON (``source`` ends in ``.json``) the places are unknown.

    Raises:
        InputError: With every problem that could be found.

    """
    if source.lower().endswith(".json"):
        return Located(read_json(data, source=source), source)
    return read_yaml(data, source=source)
