"""A document of either kind: JSON when its name ends so, else YAML."""

from __future__ import annotations

import re
from typing import Final

from compliance_agent.wire.json_document import read_json
from compliance_agent.wire.json_places import JsonPlaces
from compliance_agent.wire.located import Located
from compliance_agent.wire.yaml_document import read_yaml

_BEGINS_WITH_A_BRACE: Final = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*\{")


def read_document(data: str | bytes, *, source: str, by_content: bool = False) -> Located:
    """Read a document.

    Args:
        data: UTF-8 (or text), with or without a byte order mark.
        source: File name; one that ends in ``.json`` holds JSON.
        by_content: What begins with a brace is JSON too, whatever its name.

    Raises:
        InputError: With every problem that could be found.

    """
    braced = by_content and isinstance(data, bytes) and _BEGINS_WITH_A_BRACE.match(data)
    if braced or source.lower().endswith(".json"):
        return Located(read_json(data, source=source), source, JsonPlaces(data), with_columns=True)
    return read_yaml(data, source=source)
