"""What several commands share: which settings, which targets, and how progress is shown."""

from __future__ import annotations

import getpass
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from compliance_agent.adapters.logging_setup import LogFormat, configure_logging
from compliance_agent.app.settings import default_settings_for_local, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from compliance_agent.app.settings import Settings
    from compliance_agent.domain.target import Target

CONFIG_VARIABLE: Final = "COMPLIANCE_AGENT_CONFIG"
CONFIG_DEFAULT: Final = Path("/etc/compliance-agent/settings.yaml")


def config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-c FILE``; it arrives as ``config: Path | None``."""
    return click.option(
        "-c",
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help=f"Settings file. Default: ${CONFIG_VARIABLE}, else {CONFIG_DEFAULT}.",
    )(function)


def settings_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-c FILE`` and ``--local``; they arrive as ``config: Path | None`` and ``local: bool``."""
    return click.option(
        "--local", is_flag=True, help="This very machine, without a settings file and without any stored state."
    )(config_option(function))


def targets_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-t TARGET``, repeatable; it arrives as ``only: tuple[str, ...]``."""
    return click.option("-t", "--target", "only", multiple=True, metavar="ID", help="Only this target; repeatable.")(
        function
    )


def verbose_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-v``; it arrives as ``verbose: bool``."""
    return click.option("-v", "--verbose", is_flag=True, help="Log every event to standard error, as JSON.")(function)


def settings_for(config: Path | None, *, local: bool = False) -> Settings:
    """Return the settings that the options name.

    Raises:
        click.UsageError: Both were given, or neither and there is no file at the default places.
        InputError: The file is malformed; every problem is in it.

    """
    refuse_both(config, local=local)
    if local:
        return default_settings_for_local()
    found = config or _config_from_environment()
    if found is None:
        raise click.UsageError(
            f"no settings file: name one with -c FILE or ${CONFIG_VARIABLE}, or try this machine with --local."
        )
    return load_settings(found)


def refuse_both(config: Path | None, *, local: bool) -> None:
    """Refuse ``--local`` beside ``-c FILE``.

    Raises:
        click.UsageError: Both were given.

    """
    if local and config is not None:
        raise click.UsageError("--local and --config exclude each other.")


def _config_from_environment() -> Path | None:
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise click.UsageError(f"${CONFIG_VARIABLE} names {named}, which is no file.")
        return Path(named)
    return CONFIG_DEFAULT if CONFIG_DEFAULT.is_file() else None


def choose_targets(settings: Settings, only: Sequence[str]) -> tuple[Target, ...]:
    """Return the settings' targets, or those named.

    Raises:
        click.UsageError: A name is unknown, or there is no target at all.

    """
    targets = settings.targets()
    known = {target.target_id for target in targets}
    for name in only:
        if name not in known:
            raise click.UsageError(f"there is no target {name}; known: {', '.join(sorted(known)) or 'none'}.")
    if not targets:
        raise click.UsageError("the settings name no target; add one with: compliance-agent targets add")
    return tuple(target for target in targets if not only or target.target_id in only)


def actor() -> str:
    """Return who asked: the person behind sudo, else the login."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def configure_logs(*, verbose: bool) -> None:
    """Set up the log of an interactive command: warnings only, or every event with ``-v``."""
    configure_logging(level="debug" if verbose else "error", log_format=LogFormat.JSON)


@contextmanager
def finishing_what_has_begun() -> Iterator[Callable[[], bool]]:
    """Let a first Ctrl-C (or SIGTERM) end the work after the item that has begun; a second one ends it at once.

    Yields a function that tells whether to go on.
    """
    asked: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        click.echo("\nFinishing what has begun; press Ctrl-C again to stop at once.", err=True)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: not asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class ProgressEvents:
    """Listens to the engine and keeps one progress line on standard error while it is shown."""

    def __init__(self, total: int, *, verbose: bool) -> None:
        """Count up to ``total`` targets; with ``verbose`` every event is logged instead."""
        self._total, self._done, self._verbose = total, 0, verbose
        self._tell: Callable[[str], None] = lambda _text: None

    def expect(self, total: int) -> None:
        """Count up to ``total`` scans, where that was not known at the start."""
        self._total = total

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show progress: a live line on a terminal, plain lines elsewhere."""
        self._done = 0
        if self._verbose:
            yield
        elif sys.stderr.isatty():
            from compliance_agent.cli.output import err_console

            with err_console().status("starting …", spinner="dots") as status:
                self._tell = lambda text: status.update(text.replace("[", "\\["))
                yield
        else:
            self._tell = lambda text: click.echo(text, err=True)
            yield
        self._tell = lambda _text: None

    def emit(self, event: str, **fields: object) -> None:
        """Take one event."""
        if self._verbose:
            import structlog

            structlog.get_logger().info(event, **fields)
        if event == "scan.started":
            self._tell(f"[{self._done}/{self._total}] {fields['target']}: {fields['checks']} checks …")
        elif event == "attempt.begun":
            self._tell(f"[{self._done}/{self._total}] {fields['target']}: healing {fields['check']} …")
        elif event in {"scan.finished", "scan.unreached"}:
            self._done = min(self._done + 1, self._total)
