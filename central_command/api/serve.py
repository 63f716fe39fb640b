"""Serve the application: one process, requests side by side."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Self

import uvicorn

if TYPE_CHECKING:
    from starlette.applications import Starlette

_STOP_S: Final = 10


class Server:
    """A server in a thread of its own, for as long as a ``with`` block.

    Attributes:
        url: Where it answers.

    """

    def __init__(self, app: Starlette, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Take what to serve and where; port 0 takes a free one."""
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            timeout_graceful_shutdown=_STOP_S,
            ws="none",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="api")
        self.url = ""

    def __enter__(self) -> Self:
        """Start, and wait until it listens."""
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                message = "the server ended while it started; its log says why"
                raise OSError(message)
            self._thread.join(0.01)
        host, port = self._server.servers[0].sockets[0].getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        return self

    def __exit__(self, *_error: object) -> None:
        """Answer what was asked, then end."""
        self._server.should_exit = True
        self._thread.join()
