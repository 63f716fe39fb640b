"""Bytes <-> domain: reading and writing documents. Pure; files are opened by adapters."""
