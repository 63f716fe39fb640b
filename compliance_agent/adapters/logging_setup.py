"""Logs: events with fields, not prose. JSON lines on standard error, or coloured text on a terminal.

``log.info("turn.finished", target=target_id)`` is one event. Secrets are masked by the name of the
field, by the type of the value, and by how text looks (:mod:`compliance_agent.domain.scrub`).
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TextIO

import structlog

from compliance_agent.domain.scrub import scrub
from compliance_agent.domain.scrubbing.detectors import REMOVED
from compliance_agent.domain.scrubbing.names import names_a_secret

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

    from structlog.typing import Processor

    # Log values are whatever the caller passed.
    LogValue = Any

_DEPTH_MAX: Final = 6
_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LogFormat(StrEnum):
    """How events are written."""

    JSON = "json"
    CONSOLE = "console"


def configure_logging(
    *, level: str = "info", log_format: LogFormat = LogFormat.JSON, stream: TextIO | None = None
) -> None:
    """Send all events, and other libraries' warnings, to ``stream``. May be called again to change it.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        log_format: ``console`` is honoured on a terminal only; anything else reads JSON lines.
        stream: Standard error where ``None``.

    Raises:
        ValueError: The level is none of the four.

    """
    if level not in _LEVELS:
        message = f"log level {level!r} is none of {', '.join(_LEVELS)}"
        raise ValueError(message)
    output = sys.stderr if stream is None else stream
    console = log_format is LogFormat.CONSOLE and output.isatty()
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in os.environ)
        if console
        else structlog.processors.JSONRenderer(sort_keys=False, default=_jsonable)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,  # before masking: a traceback may quote a secret
            mask_secrets,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=output),
        cache_logger_on_first_use=False,
    )
    _route_other_libraries()


def mask_secrets(_logger: object, _method: str, event: MutableMapping[str, LogValue]) -> MutableMapping[str, LogValue]:
    """Return the event with secrets masked by field name, type and look (a structlog processor)."""
    return {key: _masked(key, value, _DEPTH_MAX) for key, value in event.items()}


def _masked(key: str, value: LogValue, depth: int) -> LogValue:
    if names_a_secret(key) and value:
        return REMOVED
    if hasattr(value, "get_secret_value"):  # pydantic's SecretStr and SecretBytes, without importing pydantic
        return REMOVED
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return scrub(value.decode("utf-8", "replace"))
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str) and depth > 0:
        if isinstance(value, Mapping):
            return {str(name): _masked(str(name), item, depth - 1) for name, item in value.items()}
        return [_masked("", item, depth - 1) for item in value]
    return scrub(value if isinstance(value, str) else str(value))


def _jsonable(value: object) -> str:
    return scrub(str(value))


class _ToEvents(logging.Handler):
    """Turns a record of the standard library's logging into an event."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # the library's format string and arguments do not fit
            text = str(record.msg)
        level = min(logging.CRITICAL, record.levelno // 10 * 10)  # structlog knows the five levels only
        structlog.get_logger().log(level, "library.message", library=record.name, text=text, exc_info=record.exc_info)


def _route_other_libraries() -> None:
    """Send what paramiko, urllib3 and others log at WARNING and above through the same events."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _ToEvents)]:
        root.removeHandler(handler)
    root.addHandler(_ToEvents())
    root.setLevel(logging.WARNING)
    for library in ("paramiko", "urllib3"):
        logging.getLogger(library).setLevel(logging.WARNING)
