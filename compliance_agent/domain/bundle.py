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

A bundle that only reads (``quick``) first runs all steps in one shell, a subshell each, since starting
processes is most of what a check costs its target. What ended there well, within the time and size of
that pass, stands; every other step is run again, alone, as above. A step that is allowed more than
``QUICK_STEP_S`` has no part in it. A step that hangs, floods or kills its shell ends the quick pass and so
costs its neighbours time, never their result. The lines of the pass come first, each behind ``F``, with
frames of a nonce of their own, which no step can see either.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from compliance_agent.domain.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from compliance_agent.domain.json_value import JsonValue

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

QUICK_S: Final = 10
"""Seconds that the quick pass may take, all steps together."""

QUICK_STEP_S: Final = 30
"""A step that may take longer than this says of itself that it is slow, and has no part in the quick pass."""

_QUICK_MAX_BYTES: Final = 262_144
_QUICK_MARK: Final = "q"

# Standard input carries the script on. At its limit the pass is asked to end (TERM): its shell and its steps do,
# and `head`, which ignores that, hands on what had ended by then. Where a child that a step left behind holds it even
# so, it is killed two seconds later, and every step is run alone. `head` also keeps a flood out of the memory.
_QUICK: Final = r"""I={nonce}
s=$(printf %s {script} | timeout -k 2 {seconds} /bin/sh -c '
trap : TERM; /bin/sh -s 2>/dev/null | {{ trap "" TERM; exec head -c {most}; }}')
printf '%s\n' "$s" | sed 's/^/F /'
s="$s
"
well() {{
  case $s in *"
$I E $1 0
"*) return 0 ;; esac
  return 1
}}
"""

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
        script: In its language.
        prelude: Shell functions put in front of the script; sent once, however many steps share them.
        parameters: Values that a PowerShell script sees, typed, as ``$Parameters``.
        language: ``sh``, or ``powershell`` for ``domain.powershell``; all steps of a bundle have the same.
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
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    language: Literal["sh", "powershell"] = "sh"


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
    quick: bool = False,
) -> str:
    """Return the script for ``/bin/sh -s``.

    Args:
        steps: In order; ids must be unique.
        nonce: 16 to 64 lower-case hex digits, fresh for each run.
        output_max_bytes: Cap of each step's standard output.
        stop_on_failure: End after the first step that does not exit with 0 (for changes), instead
            of going on (for checks).
        quick: Run a quick pass first; a step may then run twice, so only for steps that change nothing.

    Raises:
        ValueError: An id, variable name or nonce is malformed, an id stands twice, or changes were to be quick.

    """
    if quick and stop_on_failure:
        message = "a change is never run twice, so it has no quick pass"
        raise ValueError(message)
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
        unless = f"well {step.step_id} || " if quick and step.timeout_s <= QUICK_STEP_S else ""
        compiled = _compile_step(step, library, output_max_bytes + 1, stop_on_failure=stop_on_failure)
        parts.append(f"{unless}{compiled}")
    fast = [step for step in steps if step.timeout_s <= QUICK_STEP_S] if quick else []
    if fast:
        parts.insert(1, _compile_quick_pass(fast, f"{nonce}{_QUICK_MARK}"))
    parts.append("exit 0\n")
    return "".join(parts)


def _compile_quick_pass(steps: Sequence[BundleStep], nonce: str) -> str:
    """Return the part of the bundle that runs all steps in one shell, the library that most share read once."""
    ((common, _),) = Counter(step.prelude for step in steps).most_common(1) or [("", 0)]
    parts = [f"u=$(id -u)\nN={nonce}\n"]
    parts.extend(_compile_quick_step(step, step.prelude) for step in steps if step.prelude != common)
    parts.append(f"eval {shlex.quote(common)}\n")
    parts.extend(_compile_quick_step(step, "") for step in steps if step.prelude == common)
    script = shlex.quote("".join(parts))
    return _QUICK.format(nonce=nonce, script=script, seconds=QUICK_S, most=_QUICK_MAX_BYTES)


def _compile_quick_step(step: BundleStep, library: str) -> str:
    frame = f"printf '\\n%s B {step.step_id}\\n' \"$N\"\n"
    body = f"( unset N u; {_exports(step)}eval {shlex.quote(library + step.script)} ) </dev/null\n"
    # Whoever killed what watches over this pass has ended it: nothing would end the next one that hangs.
    end = f'e=$?; kill -0 $PPID || exit 0; printf \'\\n%s E {step.step_id} %s\\n\' "$N" "$e"\n'
    text = f"{frame}{body}{end}"
    return f'if [ "$u" = 0 ]; then\n{text}fi\n' if step.needs_root else text


def _exports(step: BundleStep) -> str:
    exports = []
    for name, value in step.environment.items():
        if not _VARIABLE.match(name) or "\0" in value:
            message = f"environment variable {name!r} of step {step.step_id} is malformed"
            raise ValueError(message)
        exports.append(f"{name}={shlex.quote(value)}; export {name}; ")
    return "".join(exports)


def _compile_step(step: BundleStep, library: str, cap: int, *, stop_on_failure: bool) -> str:
    exports = _exports(step)
    privilege = "root" if step.needs_root else "user"
    call = f'step {step.step_id} {step.timeout_s} {privilege} {cap} "${library}"{shlex.quote(step.script)}'
    ending = " || exit 0" if stop_on_failure else ""
    # Only what sets variables needs a process of its own, to keep them from the next step.
    return f"( {exports}{call} ){ending}\n" if exports else f"{call}{ending}\n"


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
    quick = _QuickReader(f"{nonce}{_QUICK_MARK}".encode(), output_max_bytes)
    for line in output.split(b"\n"):
        if line.startswith(b"F ") and not reader.has_begun:
            quick.feed(line[2:])
        else:
            reader.feed(line)
    return {step_id: quick.result(step_id) or reader.result(step_id) for step_id in step_ids}


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


class _QuickReader:
    """Reads the quick pass, whose frames hold bare output. Only what ended well counts."""

    def __init__(self, nonce: bytes, output_max_bytes: int) -> None:
        self._prefix = nonce + b" "
        self._cap = output_max_bytes
        self._step = b""
        self._lines: list[bytes] = []
        self._outputs: dict[str, bytes] = {}

    def feed(self, line: bytes) -> None:
        if not line.startswith(self._prefix):
            self._lines.append(line)
            return
        words = line.split(b" ")
        if words[1:] == [b"E", self._step, b"0"]:
            lines = self._lines[:-1] if self._lines and not self._lines[-1] else self._lines
            self._outputs[self._step.decode("ascii", "replace")] = b"\n".join(lines)
        self._step = words[2] if len(words) == _FRAME_WORDS and words[1] == b"B" else b""
        self._lines = []

    def result(self, step_id: str) -> StepResult | None:
        output = self._outputs.get(step_id)
        if output is None:
            return None
        text = printable(output[: self._cap].decode("utf-8", "replace"))
        return StepResult(step_id, 0, text, finished=True, truncated=len(output) > self._cap)


class _FrameReader:
    @property
    def has_begun(self) -> bool:
        """Whether a frame was seen."""
        return bool(self._frames)

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
