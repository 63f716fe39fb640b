"""The command line. Commands are imported only when they run, so that ``--version`` answers at once."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

from compliance_agent.cli.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COMMANDS: Final = {
    "plan": "Scan and show what would be done. Writes nothing.",
    "apply": "Plan, ask, then heal and verify.",
    "run": "Scan and heal for ever (the daemon).",
    "scan": "Run the checks only, without rules.",
    "match": "Match recorded incidents against a rule file, offline.",
    "explain": "Say clause by clause why rules do, or do not, match an incident.",
    "rules": "List, lint, test, replay and sync the rules.",
    "runbooks": "List, show and test the runbooks, and check their files.",
    "targets": "List, add, test and remove targets.",
    "flaps": "List, explain and clear what keeps coming back.",
    "approve": "Approve a plan that waits for a person.",
    "choose": "Choose a runbook for an incident that no rule matches.",
    "waivers": "List, add and withdraw accepted risks.",
    "pause": "Stop all healing for a while; scanning and reporting go on.",
    "resume": "Let healing go on after pause.",
    "undo": "Run the rollback of one past attempt.",
    "evidence": "List, show, export and verify the evidence of what was found and done.",
    "status": "Show what the last scans found, what is held and what could not be delivered.",
    "enroll": "Enrol this appliance with the control plane that the settings name.",
    "spool": "Show what waits for the control plane, and what became of the rest.",
    "config": "Check the settings, or show each with where it comes from.",
    "doctor": "Look for what is missing or wrong on this appliance.",
    "version": "Show the version.",
}
"""Every command with its one line of help, in the order in which help lists them."""


class _ReaderGoneError(Exception):
    """Who read standard output went away (a pager, head): no error, there is just nobody left to tell."""


@contextmanager
def _reader_may_go() -> Iterator[None]:
    # click and rich would both end the process with 1.
    try:
        yield
    except BrokenPipeError as error:
        raise _ReaderGoneError from error
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            raise _ReaderGoneError from error
        raise


PROBLEMS_SHOWN_MAX: Final = 50
"""Most problems of one input that are printed; the rest is counted."""


class LazyGroup(click.Group):
    """A group whose commands live in ``cli.commands.<name>`` and are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of ``COMMANDS``."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command, or ``None``."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"compliance_agent.cli.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for one that is not there, name the one that was probably meant."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"there is no command {args[0]}.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:  # noqa: ANN401 - click's own shape
        """Read the command line; help and the version are printed here."""
        with _reader_may_go():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        with _reader_may_go():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _show_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's shape
    if value:
        from compliance_agent.adapters.version import version

        click.echo(f"compliance-agent {version()}")
        ctx.exit(0)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 clean, 1 error, 2 drift or would change, 3 suppressed or awaiting approval, "
    "4 a target is unreachable, 64 wrong usage. Of several, the first in 64 > 1 > 4 > 2 > 3 > 0.",
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show the version."
)
def cli() -> None:
    """Check a clinic's machines against HIPAA's Security Rule, heal drift, verify, and keep count.

    Start with: compliance-agent plan --local
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Errors go to standard error, with a hint."""
    from compliance_agent.errors import ComplianceAgentError

    try:
        result = cli.main(args=list(arguments), prog_name="compliance-agent", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return Exit.USAGE
    except click.exceptions.Abort:
        click.echo("Stopped.", err=True)
        return Exit.ERROR
    except click.ClickException as error:
        error.show()
        return Exit.ERROR
    except ComplianceAgentError as error:
        show_error(error)
        return Exit.ERROR
    except _ReaderGoneError:
        # Point stdout elsewhere so that Python's own flush at exit is quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.CLEAN
    return result if isinstance(result, int) else Exit.CLEAN


def show_error(error: Exception) -> None:
    """Print one of our errors for people: what happened, then what to do."""
    from compliance_agent.domain.text import printable
    from compliance_agent.errors import ComplianceAgentError, InputError

    if isinstance(error, InputError):
        for problem in error.problems[:PROBLEMS_SHOWN_MAX]:
            click.echo(f"error: {printable(str(problem))}", err=True)
        count = len(error.problems)
        if count > PROBLEMS_SHOWN_MAX:
            click.echo(f"error: and {count - PROBLEMS_SHOWN_MAX} more", err=True)
        click.echo(f"{count} {'problem' if count == 1 else 'problems'}; nothing was done.", err=True)
    elif isinstance(error, ComplianceAgentError):
        click.echo(f"error: {printable(error.message)}", err=True)
        if error.hint:
            click.echo(f"hint: {printable(error.hint)}", err=True)
    else:
        click.echo(f"error: {error}", err=True)
