"""The one version: ``pyproject.toml`` holds it, the installed metadata carries it here."""

from __future__ import annotations

from importlib.metadata import version as metadata_version


def version() -> str:
    """Return the version of the installed package, e.g. ``0.1.0``."""
    return metadata_version("compliance-agent")
