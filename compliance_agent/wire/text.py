"""Bytes to text: UTF-8, with or without a byte order mark, and a problem with its line when it is not."""

from __future__ import annotations

from compliance_agent.errors import InputError, InputProblem


def decode(data: str | bytes, *, source: str) -> str:
    """Return the text without its byte order mark.

    Raises:
        InputError: The bytes are not UTF-8.

    """
    if isinstance(data, str):
        return data.removeprefix("\ufeff")
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        problem = InputProblem(
            source,
            f"the byte 0x{data[error.start]:02x} is not UTF-8 text",
            line=before.count(b"\n") + 1,
            column=len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1,
            hint="save the file as UTF-8",
        )
        raise InputError([problem]) from None
