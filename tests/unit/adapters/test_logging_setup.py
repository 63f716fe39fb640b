"""Logs: one event a line, with nothing secret in it."""

from __future__ import annotations

import io
import json
import logging
import warnings

import pytest
import structlog
from pydantic import SecretStr

from compliance_agent.adapters.credentials import Secret
from compliance_agent.adapters.logging_setup import LogFormat, configure_logging


def fail(message: str) -> None:
    raise RuntimeError(message)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def undo_configuration():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def logged(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_with_time_and_level(stream) -> None:
    configure_logging(stream=stream)
    structlog.get_logger().info("turn.finished", target="srv01", text="two\nlines")
    event = logged(stream)[0]
    assert (event["event"], event["level"], event["target"]) == ("turn.finished", "info", "srv01")
    assert str(event["timestamp"]).endswith("Z")


@pytest.mark.parametrize(("level", "expected"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_events_below_the_level_are_not_written(stream, level, expected) -> None:
    configure_logging(level=level, stream=stream)
    log = structlog.get_logger()
    for write in (log.debug, log.info, log.warning, log.error):
        write("event")
    assert len(logged(stream)) == expected


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="log level"):
        configure_logging(level="loud")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"password": "hunter2x"}, id="by the field's name"),
        pytest.param({"settings": {"smtp": {"auth_token": "hunter2x"}}}, id="by a name deep inside"),
        pytest.param({"value": SecretStr("hunter2x")}, id="by pydantic's type"),
        pytest.param({"value": [Secret("hunter2x")]}, id="by our own type"),
        pytest.param({"output": "password=hunter2x"}, id="by its look"),
        pytest.param({"output": b"password=hunter2x"}, id="in bytes"),
        pytest.param({"error": RuntimeError("password=hunter2x")}, id="in an exception"),
    ],
)
def test_a_secret_is_masked(stream, fields) -> None:
    configure_logging(stream=stream)
    structlog.get_logger().info("event", **fields)
    assert "hunter2x" not in stream.getvalue()
    assert logged(stream)[0]["event"] == "event"


def test_a_secret_in_a_traceback_is_masked(stream) -> None:
    configure_logging(stream=stream)
    try:
        fail("Authorization: Bearer abc")
    except RuntimeError:
        structlog.get_logger().exception("failed")
    assert "RuntimeError" in stream.getvalue()
    assert "abc" not in stream.getvalue()


def test_what_is_no_secret_keeps_its_type(stream) -> None:
    configure_logging(stream=stream)
    structlog.get_logger().info("event", port=22, ok=True, none=None, seconds=0.5, list=[1, "a"], password_file="/x")
    event = logged(stream)[0]
    fields = ("port", "ok", "none", "seconds", "list", "password_file")
    assert [event[name] for name in fields] == [22, True, None, 0.5, [1, "a"], "/x"]


def test_nesting_without_end_is_cut_short(stream) -> None:
    configure_logging(stream=stream)
    endless: list[object] = []
    endless.append(endless)
    structlog.get_logger().info("event", endless=endless)
    assert logged(stream)[0]["event"] == "event"


@pytest.mark.parametrize("library", ["paramiko.transport", "urllib3.connectionpool", "some.other"])
def test_other_libraries_warnings_become_events_and_their_chatter_does_not(stream, library) -> None:
    configure_logging(level="debug", stream=stream)
    logging.getLogger(library).info("chatter")
    logging.getLogger(library).warning("bad %s, password=hunter2x", "peer")
    event = logged(stream)[0]
    assert (event["event"], event["library"], event["level"]) == ("library.message", library, "warning")
    assert event["text"] == "bad peer, password=[removed]"
    assert len(logged(stream)) == 1


def test_a_message_that_does_not_fit_its_arguments_is_still_written(stream) -> None:
    configure_logging(stream=stream)
    record = logging.LogRecord("some.library", logging.ERROR, __file__, 1, "%d things", ("many",), None)
    logging.getLogger().handlers[-1].handle(record)  # ours alone: pytest's own handler refuses such a record
    assert logged(stream)[0]["text"] == "%d things"


def test_a_second_configuration_replaces_the_first(stream) -> None:
    configure_logging(stream=io.StringIO())
    configure_logging(stream=stream)
    logging.getLogger("some.library").warning("once")
    assert len(logged(stream)) == 1


@pytest.mark.parametrize(
    ("output", "colours", "reads_as_json"),
    [
        pytest.param(Terminal(), "", False, id="on a terminal it is for people"),
        pytest.param(io.StringIO(), "", True, id="elsewhere it stays JSON"),
    ],
)
def test_the_console_format_is_for_terminals(output, colours, reads_as_json) -> None:
    configure_logging(log_format=LogFormat.CONSOLE, stream=output)
    structlog.get_logger().info("turn.finished", password="hunter2x" + colours)
    assert output.getvalue().startswith("{") is reads_as_json
    assert "hunter2x" not in output.getvalue()


def test_no_color_is_honoured(monkeypatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    output = Terminal()
    configure_logging(log_format=LogFormat.CONSOLE, stream=output)
    structlog.get_logger().info("turn.finished")
    assert "\x1b[" not in output.getvalue()


def test_an_exception_on_the_console_does_not_warn(monkeypatch) -> None:
    output = Terminal()
    configure_logging(log_format=LogFormat.CONSOLE, stream=output)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            fail("password=hunter2x")
        except RuntimeError:
            structlog.get_logger().exception("failed")
    assert "hunter2x" not in output.getvalue()
