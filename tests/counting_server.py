"""A server that stands for the whole network, and counts who asks it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Network:
    """address: http://127.0.0.1:PORT.  requests: what was asked, such as "CONNECT host:443"."""

    address: str
    requests: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Variables under which a process meets this server whatever host it asks."""
        proxies = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        named = dict.fromkeys((*proxies, *(p.lower() for p in proxies)), self.address)
        return named | {
            "HF_ENDPOINT": self.address, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "", "no_proxy": "",
        }  # fmt: skip


@contextmanager
def counting_server() -> Iterator[Network]:
    """Answers every request with an error, and notes it."""
    network = Network("")

    class Handler(BaseHTTPRequestHandler):
        def _refuse(self) -> None:
            network.requests.append(f"{self.command} {self.path}")
            self.send_error(403)

        do_GET = do_HEAD = do_POST = do_CONNECT = _refuse

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    network.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield network
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
