"""Starts lives: a process that has everything imported, and forks for each one, so that a life costs little to start.

Orders come as lines of JSON on standard input, answers go as lines to standard output. A life waits for ``go``, so
that a tracer can be put on it first.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, TextIO

from tests.chaos.life import DONE, Machines, Order, live, load_test_catalogue, machines_of

if TYPE_CHECKING:
    from compliance_agent.domain.catalogue import Catalogue

BROKEN: Final = 99
"""Exit code of a life that ended in an error that it should not have."""


def main() -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)  # what a life logs is none of our answers
    catalogue = load_test_catalogue(Path(sys.argv[1]))
    _live_once(catalogue)
    gc.collect()
    gc.freeze()  # no life has to look through what all of them share
    for line in sys.stdin:
        asked = json.loads(line)
        order = Order(Path(asked["folder"]), asked["number"], asked["url"])
        waits, go = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(go)
            os.read(waits, 1)
            os.close(waits)
            _live_and_die(order, catalogue)
        os.close(waits)
        _say(answers, {"pid": pid})
        sys.stdin.readline()  # go
        with contextlib.suppress(BrokenPipeError):  # killed before it began
            os.write(go, b"g")
        os.close(go)
        sys.stdin.readline()  # reap: until then the id belongs to this life and nobody else
        _, status = os.waitpid(pid, 0)
        _say(answers, {"status": status})


def _live_once(catalogue: Catalogue) -> None:
    """Do once here what lives import and compile at their first use."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "token").write_text("token", encoding="utf-8")
        (folder / "token").chmod(0o600)
        machines = Machines(folder / "machines")
        machines.drift(machines_of(0))
        code = live(Order(folder, 0, "http://127.0.0.1:9"), catalogue)
        assert (code, len(machines.deeds())) == (DONE, 2)


def _live_and_die(order: Order, catalogue: Catalogue) -> NoReturn:
    code = BROKEN
    try:
        code = live(order, catalogue)
    except BaseException:  # noqa: BLE001 - nothing may come back from here: there is one zygote
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _say(answers: TextIO, document: dict[str, int]) -> None:
    answers.write(json.dumps(document) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
