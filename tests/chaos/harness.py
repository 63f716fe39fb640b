"""Runs lives, cuts them short at will, and looks at what they left."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from tests.chaos.life import DONE, IN_TROUBLE, Machines, machines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Every system call by which a process changes what is outside it: files, folders, and the line.
WRITES: Final = (
    "pwrite64,pwritev,write,writev,ftruncate,fallocate,fsync,fdatasync,openat,unlink,unlinkat,rename,renameat,"
    "renameat2,mkdir,mkdirat,chmod,fchmod,fchown,link,linkat,symlink,utimensat,sendto,sendmsg,connect"
)
_CALL: Final = re.compile(r"^(?:\[pid +\d+\] )?([a-z0-9]+)\((.*)\) += (-?\d+|\?)")


@dataclass(frozen=True, slots=True)
class Point:
    """One write of a life: the ``nth`` call of this name, with its arguments as strace shows them."""

    name: str
    nth: int
    arguments: str

    @property
    def is_on_disk(self) -> bool:
        """Tell whether it changes a file of the state folder."""
        return "/state/" in self.arguments or self.arguments.endswith("/state>")

    def __str__(self) -> str:
        return f"{self.name}[{self.nth}] {self.arguments[:160]}"


@dataclass
class Receiver:
    """A control plane that takes batches, drops what it has by id, and keeps count. ``mood`` may spoil an answer."""

    received: dict[str, list[bytes]] = field(default_factory=dict)
    mood: Callable[[], str] = lambda: "well"
    url: str = ""

    @contextmanager
    def serve(self) -> Iterator[Self]:
        receiver, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    mood = receiver.mood()
                    results = [] if mood == "busy" else receiver.take(content)
                if mood == "cut":
                    self.close_connection = True
                    return
                answer = json.dumps({"results": results}).encode()
                self.send_response(503 if mood == "busy" else 200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_arguments: object) -> None:
                pass  # the agent was killed in the middle of a sentence; that is the test

        with Server(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_address[1]}"
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    def take(self, content: bytes) -> list[dict[str, str]]:
        results = []
        for entry in json.loads(content)["entries"]:
            copies = self.received.setdefault(entry["id"], [])
            copies.append(json.dumps(entry, sort_keys=True).encode())
            results.append({"id": entry["id"], "status": "accepted" if len(copies) == 1 else "duplicate"})
        return results


class Lives:
    """Starts lives through a zygote. To be closed."""

    def __init__(self, content: Path) -> None:
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.zygote", str(content)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def run(self, place: Place, *options: str, trace: Path | None = None, kill_after_s: float | None = None) -> int:
        """Run one life to its end, and return its wait status.

        Args:
            place: Where.
            options: For strace, which is put on it if there are any.
            trace: Where strace writes.
            kill_after_s: Kill it then, if it still runs.

        """
        pid = self._ask({"folder": str(place.folder), "number": place.number, "url": place.receiver.url})["pid"]
        if not options:
            return self._go(pid, kill_after_s)
        command = ["strace", "-y", "-s", "0", "-e", "signal=none", "-o", str(trace or "/dev/null"), *options]
        with subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            said = tracer.stderr.readline()
            assert "attached" in said, said
            return self._go(pid, kill_after_s)

    def _go(self, pid: int, kill_after_s: float | None) -> int:
        self._tell("go")
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            os.kill(pid, signal.SIGKILL)
        self._tell("reap")
        status = int(self._answer()["status"])
        assert status in {DONE, IN_TROUBLE << 8, signal.SIGKILL}, f"a life ended in an error of its own: {status:#x}"
        return status

    def _ask(self, order: dict[str, Any]) -> dict[str, int]:
        self._tell(json.dumps(order))
        return self._answer()

    def _tell(self, line: str) -> None:
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(f"{line}\n")
        self._zygote.stdin.flush()

    def _answer(self) -> dict[str, int]:
        assert self._zygote.stdout is not None
        line = self._zygote.stdout.readline()
        assert line, "the zygote is gone"
        answer: dict[str, int] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        self._zygote.stdin.close()
        self._zygote.stdout.close()
        self._zygote.wait()


@dataclass
class Place:
    """A folder in which lives follow each other, and the receiver that they report to."""

    folder: Path
    receiver: Receiver
    number: int = 0

    def __post_init__(self) -> None:
        (self.folder / "machines").mkdir(parents=True, exist_ok=True)
        token = self.folder / "token"
        token.write_text("token")
        token.chmod(0o600)

    @property
    def state(self) -> Path:
        return self.folder / "state" / "state.sqlite"

    @property
    def machines(self) -> Machines:
        return Machines(self.folder / "machines")

    def drift(self) -> None:
        """Have all checks of this life's machines fail."""
        self.machines.drift(machines_of(self.number))

    def copy(self, folder: Path, receiver: Receiver) -> Place:
        shutil.copytree(self.folder, folder)
        return Place(folder, receiver, self.number)


@contextmanager
def a_place(content: Path) -> Iterator[tuple[Lives, Place]]:
    """Yield a fresh place whose first machines have drifted, and something that runs lives; clean up at the end.

    In memory where that is possible: what a kill leaves does not depend on the disk, and flushing takes no time.
    """
    shared = Path("/dev/shm")
    room = shared if os.access(shared, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=room, prefix="chaos-") as folder, Receiver().serve() as receiver:
        lives = Lives(content)
        try:
            place = Place(Path(folder) / "place", receiver)
            place.drift()
            yield lives, place
        finally:
            lives.close()


@contextmanager
def a_copy(place: Place) -> Iterator[Place]:
    """Yield a copy of a place with a receiver that has got the same; gone at the end."""
    receiver = Receiver({key: list(copies) for key, copies in place.receiver.received.items()})
    with tempfile.TemporaryDirectory(dir=place.folder.parent) as folder, receiver.serve():
        yield place.copy(Path(folder) / "place", receiver)


def write_points(lives: Lives, place: Place) -> list[Point]:
    """Run one life to its end and return every write of it, in order."""
    trace = place.folder / "trace"
    status = lives.run(place, "-e", f"trace={WRITES}", trace=trace)
    assert status == 0, trace.read_text()[-3000:]
    seen: dict[str, int] = {}
    points = []
    for line in trace.read_text().splitlines():
        call = _CALL.match(line)
        if call is None:
            continue
        name, arguments = call[1], call[2]
        seen[name] = seen.get(name, 0) + 1
        if name != "openat" or "O_CREAT" in arguments:
            points.append(Point(name, seen[name], arguments))
    return points


def kill_at(lives: Lives, place: Place, point: Point, *options: str, trace: Path | None = None) -> bool:
    """Run a life that is killed where this write would begin; return whether it came that far.

    Args:
        lives: What runs it.
        place: Where.
        point: Where it is killed.
        options: More for strace, which override those of here.
        trace: Where strace writes.

    """
    kill = ("-e", f"trace={point.name}", "-e", f"inject={point.name}:signal=KILL:when={point.nth}")
    status = lives.run(place, *kill, *options, trace=trace)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def fail_at(lives: Lives, place: Place, point: Point, error: str, *, on: bool) -> int:
    """Run a life in which this write fails (with ``on``, and all later ones of its kind); return its exit code."""
    when = f"{point.nth}+" if on else str(point.nth)
    status = lives.run(place, "-e", f"trace={point.name}", "-e", f"inject={point.name}:error={error}:when={when}")
    assert os.WIFEXITED(status), f"{point}: {status}"
    return os.WEXITSTATUS(status)
