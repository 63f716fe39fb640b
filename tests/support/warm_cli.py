"""Runs command lines of the product, each in a process of its own that has everything imported already.

``python -m tests.support.warm_cli DESCRIPTOR`` takes orders from a socket (``tests.support.cli`` sends them): a
message is a line of JSON (``arguments``, ``environment``, ``folder``) with four descriptors: standard input, output and
error of the command, and a socket to which its process id goes at once and its wait status at its end. Everything else
is as in a process that was started anew: environment, folder, signals, and how Python ends.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import sys
import time
from importlib import import_module
from selectors import EVENT_READ, DefaultSelector
from typing import Any, Final

from compliance_agent.__main__ import main as run_command_line
from compliance_agent.cli.main import COMMANDS

LIBRARIES: Final = ("ahocorasick", "cryptography.fernet", "paramiko", "re2", "requests", "rich.progress", "rich.table")
"""What commands import only when they need it."""

ORDER_MAX_BYTES: Final = 200_000
_DESCRIPTORS: Final = 4


def main() -> None:
    """Serve until the other side closes its socket; then, or in a child, return with the command line to run."""
    for name in [*LIBRARIES, *(f"compliance_agent.cli.commands.{name}" for name in COMMANDS)]:
        import_module(name)
    gc.collect()
    gc.freeze()  # no child has to look through what all of them share
    orders = socket.socket(fileno=int(sys.argv[1]))
    if _serve(orders):
        run_command_line()


def _serve(orders: socket.socket) -> bool:
    """Fork for each order; return true in the child, which is then to run its command line."""
    running: dict[int, tuple[int, socket.socket]] = {}  # by a descriptor that can be read when the process has ended
    with DefaultSelector() as selector:
        selector.register(orders, EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not orders:
                    selector.unregister(key.fd)
                    _reap(key.fd, *running.pop(key.fd))
                    continue
                message, descriptors, _, _ = socket.recv_fds(orders, ORDER_MAX_BYTES, _DESCRIPTORS)
                if not message:
                    return False
                pid = os.fork()
                if pid == 0:
                    _become(json.loads(message), descriptors)
                    return True
                *of_the_child, asker = descriptors
                for descriptor in of_the_child:
                    os.close(descriptor)
                ended = os.pidfd_open(pid)
                running[ended] = (pid, socket.socket(fileno=asker))
                selector.register(ended, EVENT_READ)
                _tell(running[ended][1], pid)


def _reap(ended: int, pid: int, asker: socket.socket) -> None:
    os.close(ended)
    _, status = os.waitpid(pid, 0)
    _tell(asker, status)
    asker.close()


def _become(order: dict[str, Any], descriptors: list[int]) -> None:
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    os.closerange(3, max(descriptors) + 1)
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    os.chdir(order["folder"])
    sys.argv[1:] = order["arguments"]


def _tell(asker: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # who asked has given up
        asker.send(f"{number}\n".encode(), socket.MSG_NOSIGNAL)


if __name__ == "__main__":
    main()
