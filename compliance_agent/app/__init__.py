"""Wiring: settings, assembly, daemon."""
