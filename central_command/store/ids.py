"""Ids of rows that Central Command makes itself."""

from __future__ import annotations

import secrets
import time
import uuid


def new_id() -> str:
    """Return a UUIDv7 (RFC 9562), text. Two of one millisecond have no order."""
    milliseconds = time.time_ns() // 1_000_000 & ((1 << 48) - 1)
    chance = secrets.randbits(74)
    value = milliseconds << 80 | 0x7 << 76 | (chance >> 62) << 64 | 0b10 << 62 | chance & ((1 << 62) - 1)
    return str(uuid.UUID(int=value))
