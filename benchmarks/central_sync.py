"""How fast an unchanged ``GET /agent/sync`` is answered: ours, a bare Starlette route, and FastAPI with a bearer check.

Each in a process of its own under uvicorn with the server's settings. What counts is the server's CPU time for a
request: the client shares the machine, and would otherwise be part of what is measured.

    python -m benchmarks.central_sync serve ours|bare|fastapi
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from central_command.api.app import make_app
from central_command.api.publisher import Publisher
from central_command.api.requests import Services
from central_command.signing.repository import Bundles, Repository, found
from central_command.store.access import Caller
from compliance_agent.domain.serving import CHANNELS, FLEET_ROLES

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS: Final = ("ours", "bare", "fastapi")
APPLIANCES: Final = 20_000
_PATH: Final = "/agent/sync/metadata/timestamp.json"
_ETAG: Final = '"' + "ab" * 32 + '"'
_CLIENTS: Final = 8
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def measure(kind: str, requests: int) -> tuple[float, float]:
    """Return the server's CPU microseconds for a request, and requests a second on the wall clock.

    Raises:
        RuntimeError: An answer was not 304.

    """
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.central_sync", "serve", kind], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        port, etag = server.stdout.readline().split()
        try:
            _ask_all(int(port), etag, requests // 10)  # warm
            before, started = _cpu_s(server.pid), time.perf_counter()
            _ask_all(int(port), etag, requests)
            took, used = time.perf_counter() - started, _cpu_s(server.pid) - before
        finally:
            server.terminate()
    return used / requests * 1e6, requests / took


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _ask_all(port: int, etag: str, requests: int) -> None:
    wrong: Counter[str] = Counter()
    threads = [
        threading.Thread(target=_ask, args=(port, etag, range(first, requests, _CLIENTS), wrong))
        for first in range(_CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        message = f"not every answer was 304: {dict(wrong)}"
        raise RuntimeError(message)


def _ask(port: int, etag: str, numbers: Sequence[int], wrong: Counter[str]) -> None:
    """Ask over one connection, each time as another appliance."""
    with socket.create_connection(("127.0.0.1", port)) as line, line.makefile("rb") as answers:
        for number in numbers:
            line.sendall(
                f"GET {_PATH} HTTP/1.1\r\nHost: c\r\nAuthorization: Bearer t{number % APPLIANCES}\r\n"
                f"If-None-Match: {etag}\r\n\r\n".encode()
            )
            status = answers.readline()
            while answers.readline() not in {b"\r\n", b""}:
                pass
            if b" 304 " not in status:
                wrong[status.decode().strip()] += 1


def _bare() -> Any:  # noqa: ANN401 - an ASGI application
    async def sync(request: Any) -> Response:  # noqa: ANN401 - Starlette's
        status = 304 if request.headers.get("if-none-match") == _ETAG else 200
        return Response(status_code=status, headers={"ETag": _ETAG})

    return Starlette(routes=[Route("/agent/sync/{path:path}", sync)])


def _fastapi() -> Any:  # noqa: ANN401 - an ASGI application
    import fastapi  # noqa: PLC0415 - comes with the extra bench alone
    from fastapi.security import HTTPBearer  # noqa: PLC0415 - as above

    app, known = fastapi.FastAPI(), {f"t{number}": ("site", f"a{number}") for number in range(APPLIANCES)}
    bearer = HTTPBearer()

    def caller(credentials: Any = fastapi.Depends(bearer)) -> tuple[str, str]:  # noqa: ANN401, B008 - FastAPI's way
        if credentials.credentials not in known:
            raise fastapi.HTTPException(401)
        return known[credentials.credentials]

    async def sync(request: fastapi.Request, _caller: Any = fastapi.Depends(caller)) -> fastapi.Response:  # noqa: ANN401, B008
        status = 304 if request.headers.get("if-none-match") == _ETAG else 200
        return fastapi.Response(status_code=status, headers={"ETag": _ETAG})

    sync.__annotations__ |= {"request": fastapi.Request, "return": fastapi.Response}
    app.get("/agent/sync/{path:path}")(sync)
    return app


def _ours(folder: Path) -> tuple[Any, str]:
    now = datetime.now(UTC)
    found(folder / "keys", now=now)
    (folder / "keys" / "offline").rename(folder / "offline")
    repository = Repository(folder / "keys" / "central")
    empty = {role: dict.fromkeys(CHANNELS, b'{"rules": []}') for role in FLEET_ROLES}
    repository.publish(Bundles(empty, {}), now=now)
    publisher = Publisher(repository, None, ())  # type: ignore[arg-type]  # what is asked for is in memory
    publisher._files = publisher._load()  # noqa: SLF001 - as after a publication
    services = Services(
        database=None,  # type: ignore[arg-type]  # every caller is known
        now=lambda: datetime.now(UTC),
        monotonic_s=time.monotonic,
        new_id=str,
        publisher=publisher,
    )
    for number in range(APPLIANCES):
        caller = Caller("site", f"a{number}", frozenset({"sync"}))
        services.callers[f"t{number}"] = (caller, time.monotonic() + 3_600)
    file = publisher.file("metadata/timestamp.json", site_id="site")
    assert file is not None
    return make_app(services), file.etag


def serve(kind: str) -> None:
    """Serve one of the three until the process is ended."""
    with tempfile.TemporaryDirectory() as folder:
        app, etag = _ours(Path(folder)) if kind == "ours" else (_bare() if kind == "bare" else _fastapi(), _ETAG)
        config = uvicorn.Config(
            app, port=0, log_config=None, access_log=False, server_header=False, proxy_headers=False, lifespan="off"
        )
        line = socket.create_server(("127.0.0.1", 0))
        print(line.getsockname()[1], etag, flush=True)
        uvicorn.Server(config).run(sockets=[line])


if __name__ == "__main__":
    serve(sys.argv[2])
