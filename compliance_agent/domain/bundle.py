"""The bundle: many steps as one POSIX script for one session, each framed, timed and capped apart.

Nothing of a step reaches a command line that could be joined with another's: scripts and parameter
values travel as single-quoted words, and parameter values only as environment variables. No
temporary file is made on the target. Every line that a step prints is prefixed, and a frame starts
with a nonce that the step never sees, so that a step which hangs, floods or prints what looks like
a frame spoils only itself. A step whose closing frame is missing did not report: it is *unknown*.

Layout of the output (one line each; ``N`` is the nonce)::

    N B <step>          the step begins
    N P <step>          it was not run: it needs root and the session has none
    O <text>            a line of its standard output
    E <text>            a line of its standard error (the first and the last 1,000 bytes)
    R <code>            how it exited
    N E <step> <code>   the step is over; code 124 or 137 means that its time was up
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OUTPUT_MAX_BYTES: Final = 65_536
"""Most bytes of standard output kept per step; what goes beyond is cut and marked."""

_STEP_ID: Final = re.compile(r"^[A-Za-z0-9@._/-]{1,128}$")
_VARIABLE: Final = re.compile(r"^[A-Z][A-Z0-9_]{0,127}$")
_NONCE: Final = re.compile(r"^[0-9a-f]{16,64}$")
_PATH: Final = (
    "/run/wrappers/bin:/run/current-system/sw/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

# Runs one step: "$1" is its script, "$2" the output cap. File descriptor 4 is the real output, 3
# carries the exit code past the pipes. Of a flood on standard error the middle is read and dropped, so
# that a chatty step is not killed by a closed pipe; the end stays, since the cause stands there. Most
# steps are silent there, and `read` sees that without a process: starting processes is most of what a
# check costs its target. The outer `timeout` covers this whole shell, so a child that the step leaves
# behind with the pipe open cannot hold the session.
_STEP_SHELL: Final = r"""exec 4>&1
e() { { head -c 1000; tail -c 1000; } | sed 's/^/E /'; }
s=$({ { { /bin/sh -c "$1" sh </dev/null 3>&- 4>&-; printf '\nR %s\n' "$?" >&3; } | head -c "$2" |
sed 's/^/O /' >&4; } 2>&1 | if IFS= read -r l; then { printf '%s\n' "$l"; exec cat; } | e
elif [ "$l" ]; then printf %s "$l" | e; fi; } 3>&1)
printf '\n%s\n' "$s"
case "
$s
" in *"
R 0
"*) ;; *) exit 1 ;; esac"""

_HEADER: Final = r"""LC_ALL=C; export LC_ALL; umask 077; unset ENV BASH_ENV CDPATH
PATH={path}; export PATH
cd /
N={nonce}
W={step_shell}
u=$(id -u)
step() {{
  printf '\n%s B %s\n' "$N" "$1"
  if [ "$3" = root ] && [ "$u" != 0 ]; then printf '\n%s P %s\n' "$N" "$1"; return 1; fi
  timeout -k 2 "$2" /bin/sh -c "$W" sh "$5" "$4" </dev/null
  r=$?
  printf '\n%s E %s %s\n' "$N" "$1" "$r"
  return "$r"
}}
"""


@dataclass(frozen=True, slots=True)
class BundleStep:
    """One step of a bundle.

    Attributes:
        step_id: Letters, digits and ``@ . _ / -``.
        script: POSIX ``sh``.
        prelude: Shell functions put in front of the script; sent once, however many steps share them.
        environment: Variables that it sees beside the base ones; upper-case names.
        timeout_s: Its own limit, whole seconds.
        needs_root: Not run (and said so) when the session is not root.

    """

    step_id: str
    script: str
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_s: int = 30
    needs_root: bool = False
    prelude: str = ""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step reported.

    Attributes:
        step_id: Which one.
        exit_code: Its exit code; ``None`` when it never reported one.
        stdout: Its standard output; undecodable bytes are replaced, steering characters written out.
        stderr: The start and the end of its standard error.
        finished: Whether its closing frame arrived.
        timed_out: Whether its own limit ended it.
        truncated: Whether its output was cut.
        needs_root: It was not run, for want of root.

    """

    step_id: str
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""
    finished: bool = False
    timed_out: bool = False
    truncated: bool = False
    needs_root: bool = False

    @property
    def succeeded(self) -> bool:
        """Tell whether the step ran to its end, said so, and exited with 0."""
        return self.finished and self.exit_code == 0 and not self.truncated

    def trouble(self) -> str:
        """Return why the step did not succeed, one sentence; empty when it did."""
        if self.succeeded:
            return ""
        if self.needs_root:
            return "needs root"
        if self.timed_out:
            return "ran out of its time"
        if self.truncated:
            return "printed more than its limit; the output was cut"
        if not self.finished or self.exit_code is None:
            return "never reported its end"
        detail = self.stderr.strip() or self.stdout.strip()
        last = detail.splitlines()[-1] if detail else "without a word"
        return f"exited with {self.exit_code}: {last[:300]}"


def compile_bundle(
    steps: Sequence[BundleStep],
    *,
    nonce: str,
    output_max_bytes: int = OUTPUT_MAX_BYTES,
    stop_on_failure: bool = False,
) -> str:
    """Return the script for ``/bin/sh -s``.

    Args:
        steps: In order; ids must be unique.
        nonce: 16 to 64 lower-case hex digits, fresh for each run.
        output_max_bytes: Cap of each step's standard output.
        stop_on_failure: End after the first step that does not exit with 0 (for changes), instead
            of going on (for checks).

    Raises:
        ValueError: An id, variable name or nonce is malformed, or an id stands twice.

    """
    if not _NONCE.match(nonce):
        message = "the nonce must be 16 to 64 lower-case hex digits"
        raise ValueError(message)
    parts = [_HEADER.format(path=_PATH, nonce=nonce, step_shell=shlex.quote(_STEP_SHELL))]
    preludes = {text: f"L{number}" for number, text in enumerate(dict.fromkeys(step.prelude for step in steps))}
    parts.extend(f"{name}={shlex.quote(text)}\n" for text, name in preludes.items())
    seen: set[str] = set()
    for step in steps:
        if not _STEP_ID.match(step.step_id) or step.step_id in seen:
            message = f"step id {step.step_id!r} is malformed or stands twice"
            raise ValueError(message)
        seen.add(step.step_id)
        library = preludes[step.prelude]
        parts.append(_compile_step(step, library, output_max_bytes + 1, stop_on_failure=stop_on_failure))
    parts.append("exit 0\n")
    return "".join(parts)


def _compile_step(step: BundleStep, library: str, cap: int, *, stop_on_failure: bool) -> str:
    exports = []
    for name, value in step.environment.items():
        if not _VARIABLE.match(name) or "\0" in value:
            message = f"environment variable {name!r} of step {step.step_id} is malformed"
            raise ValueError(message)
        exports.append(f"{name}={shlex.quote(value)}; export {name}; ")
    privilege = "root" if step.needs_root else "user"
    call = f'step {step.step_id} {step.timeout_s} {privilege} {cap} "${library}"{shlex.quote(step.script)}'
    ending = " || exit 0" if stop_on_failure else ""
    # Only what sets variables needs a process of its own, to keep them from the next step.
    return f"( {''.join(exports)}{call} ){ending}\n" if exports else f"{call}{ending}\n"


def parse_bundle(
    output: bytes, *, nonce: str, step_ids: Sequence[str], output_max_bytes: int = OUTPUT_MAX_BYTES
) -> dict[str, StepResult]:
    """Return one result for each of ``step_ids``, those that never reported included.

    Args:
        output: Everything that the session printed; may be cut anywhere.
        nonce: The one that the bundle was compiled with.
        step_ids: Which steps to expect.
        output_max_bytes: The cap that the bundle was compiled with.

    """
    reader = _FrameReader(nonce.encode(), output_max_bytes)
    for line in output.split(b"\n"):
        reader.feed(line)
    return {step_id: reader.result(step_id) for step_id in step_ids}


@dataclass(slots=True)
class _Frame:
    stdout: list[bytes] = field(default_factory=list)
    stderr: list[bytes] = field(default_factory=list)
    exit_code: int | None = None
    shell_code: int | None = None
    needs_root: bool = False


_FRAME_WORDS: Final = 3
_CODE_DIGITS_MAX: Final = 3


def _is_code(text: bytes) -> bool:
    return text.isdigit() and len(text) <= _CODE_DIGITS_MAX


class _FrameReader:
    def __init__(self, nonce: bytes, output_max_bytes: int) -> None:
        self._prefix = nonce + b" "
        self._cap = output_max_bytes
        self._frames: dict[str, _Frame] = {}
        self._current: _Frame | None = None

    def feed(self, line: bytes) -> None:
        if line.startswith(self._prefix):
            self._feed_frame(line.split(b" "))
        elif self._current is None:
            return
        elif line.startswith(b"O "):
            self._current.stdout.append(line[2:])
        elif line.startswith(b"E "):
            self._current.stderr.append(line[2:])
        elif line.startswith(b"R ") and _is_code(line[2:]):
            self._current.exit_code = int(line[2:])

    def _feed_frame(self, words: list[bytes]) -> None:
        if len(words) < _FRAME_WORDS:  # cut, or forged by a target that saw the nonce: it ends what was open
            self._current = None
            return
        kind, step_id = words[1], words[2].decode("ascii", "replace")
        if kind == b"B":
            self._current = self._frames[step_id] = _Frame()
            return
        frame = self._frames.get(step_id)
        if frame is None:
            return
        if kind == b"P":
            frame.needs_root = True
        elif kind == b"E" and _is_code(words[-1]):
            frame.shell_code = int(words[3])
        self._current = None

    def result(self, step_id: str) -> StepResult:
        frame = self._frames.get(step_id)
        if frame is None:
            return StepResult(step_id)
        stdout = b"\n".join(frame.stdout)
        truncated = len(stdout) > self._cap
        return StepResult(
            step_id=step_id,
            exit_code=frame.exit_code,
            stdout=printable(stdout[: self._cap].decode("utf-8", "replace")),
            stderr=printable(b"\n".join(frame.stderr).decode("utf-8", "replace")),
            finished=frame.shell_code is not None,
            timed_out=frame.shell_code in {124, 137},
            truncated=truncated,
            needs_root=frame.needs_root,
        )
