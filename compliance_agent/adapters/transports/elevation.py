"""The command that starts the remote shell, as root where the target asks for it.

The script never stands in an argument list, nor does the sudo password: both travel on standard
input. The shell that runs as root prints a fresh marker before anything of the script, so that a
refusal by sudo, or output of a login file, cannot pass for the script's own output.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.target import Become
from compliance_agent.errors import TransportError, TransportFault

if TYPE_CHECKING:
    from compliance_agent.adapters.credentials import CredentialReader, Secret
    from compliance_agent.domain.target import Target
    from compliance_agent.engine.ports import RunResult

NOISE_MAX_BYTES: Final = 8_192
"""How much a login file may print before the marker without eating into the output limit."""

SEARCH_PATH: Final = (
    "/run/wrappers/bin:/run/current-system/sw/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)
"""Where the commands of the bootstrap are looked for; the first two are NixOS's."""

# A script that is still running when nobody listens any more ends soon after the deadline.
_OVERTIME_S: Final = 5

_END_OF_PASSWORD: Final = "--end-of-password--"  # noqa: S105 -- a separator, no password

# All of these stand inside single quotes of the login shell, so they hold no single quote, no line
# feed and no exclamation mark (csh), and the inner ones escape their double quotes.
_SHELL: Final = (
    "if command -v timeout >/dev/null 2>&1; then exec timeout -k 2 @LIMIT@ /bin/sh -s; else exec /bin/sh -s; fi"
)
_SKIP_PASSWORD: Final = 'unset l; until [ \\"\\$l\\" = ' + _END_OF_PASSWORD + " ]; do IFS= read -r l || exit 77; done; "
_PATH: Final = f"PATH={SEARCH_PATH}:$PATH; LC_ALL=C; export PATH LC_ALL; "
_NEED_SUDO: Final = "command -v sudo >/dev/null 2>&1 || { echo sudo: not installed >&2; exit 77; }; "
_SUDO_WITHOUT_PASSWORD: Final = (
    _PATH + 'if [ "$(id -u)" = 0 ]; then @SHELL@; fi; ' + _NEED_SUDO + 'exec sudo -k -n /bin/sh -c "@SHELL@"'
)
# The password is tried alone first: on a wrong one sudo would take the script's lines for further tries.
# A printf that is no builtin would show the password in the process list.
_SUDO_WITH_PASSWORD: Final = (
    _PATH
    + 'if [ "$(id -u)" = 0 ]; then exec /bin/sh -c "@SKIP@@SHELL@"; fi; '
    + _NEED_SUDO
    + '[ "$(command -v printf)" = printf ] || { echo sh: printf is not built in >&2; exit 77; }; '
    + "unset p; IFS= read -r p || exit 77; "
    + 'e=$(printf "%s\\n" "$p" | sudo -k -S -p "" /bin/sh -c : 2>&1 >/dev/null) '
    + '|| { printf "%s\\n" "$e" >&2; exit 77; }; '
    + '{ printf "%s\\n" "$p"; unset p; exec cat; } | sudo -k -S -p "" /bin/sh -c "@SKIP@@SHELL@"'
)


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start the shell for one run.

    Attributes:
        command: For the login shell of the target; fixed text, but for the limit in seconds.
        stdin: The password, if any, the marker and the script. Never shown.
        marker: The line that the root shell prints first; empty when root was not asked for.

    """

    command: str
    stdin: bytes = field(repr=False)
    marker: bytes = b""


def prepare(script: str, *, become: Become, password: Secret | None, timeout_s: float) -> Launch:
    """Return how to run ``script`` by ``/bin/sh -s``, as root when ``become`` says so."""
    shell = _SHELL.replace("@LIMIT@", str(math.ceil(timeout_s) + _OVERTIME_S))
    body = script.encode()
    if become is Become.NONE:
        return Launch(f"exec /bin/sh -c '{shell}'", body)
    marker = secrets.token_hex(16).encode()
    head = b'[ "$(id -u)" = 0 ] || exit 77; printf "%s\\n" ' + marker + b"\n"
    if password is None:
        return Launch(f"exec /bin/sh -c '{_SUDO_WITHOUT_PASSWORD.replace('@SHELL@', shell)}'", head + body, marker)
    text = _SUDO_WITH_PASSWORD.replace("@SKIP@", _SKIP_PASSWORD).replace("@SHELL@", shell)
    lines = password.reveal().encode() + b"\n" + _END_OF_PASSWORD.encode() + b"\n"
    return Launch(f"exec /bin/sh -c '{text}'", lines + head + body, marker)


def read_become_password(target: Target, reader: CredentialReader) -> Secret | None:
    """Return the sudo password that the target names by path, or ``None`` if it names none.

    Raises:
        CredentialError: The file cannot be read.

    """
    path = target.become_password_file
    return reader.read_password(path, purpose="sudo password file") if path else None


def finish(
    raw: RunResult, launch: Launch, target: Target, password: Secret | None, *, output_max_bytes: int
) -> RunResult:
    """Return the result as the script's own: without the marker, cut at the limit.

    Args:
        raw: Captured with ``NOISE_MAX_BYTES`` beyond the limit.
        launch: What was started.
        target: Where.
        password: The sudo password that was offered, if any.
        output_max_bytes: The limit of each stream.

    Raises:
        TransportError: Root was asked for and its shell never spoke (``AUTH_FAILED``).

    """
    stdout = raw.stdout
    if launch.marker:
        _, found, stdout = raw.stdout.partition(launch.marker + b"\n")
        if not found and not raw.timed_out:
            raise _refusal(target, raw.stderr, password)
    return replace(
        raw,
        stdout=stdout[:output_max_bytes],
        stderr=raw.stderr[:output_max_bytes],
        truncated=len(stdout) > output_max_bytes or len(raw.stderr) > output_max_bytes,
    )


def _refusal(target: Target, stderr: bytes, password: Secret | None) -> TransportError:
    """Return the error for a session in which root was asked for and not given."""
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    reason = "; ".join(lines[-2:]) or "it gave no reason"
    if password is not None:
        reason = reason.replace(password.reveal(), "***")
    reason = "".join(letter if letter.isprintable() else "?" for letter in reason)[:300]
    hint = (
        f"check the sudo password in {target.become_password_file}; it was tried once"
        if password is not None
        else "set become_password_file for this target, or allow its user NOPASSWD in sudoers"
    )
    return TransportError(
        TransportFault.AUTH_FAILED, f"sudo gave no root on {target.address}: {reason}", hint=f"sudo refused; {hint}"
    )
