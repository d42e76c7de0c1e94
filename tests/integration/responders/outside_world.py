"""The outside, for real: an Alertmanager process, and an HTTP server that receives commands."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

CONFIG = "route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def alertmanager_binary() -> str:
    found = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if found is None:
        reason = "needs an Alertmanager: neither `prometheus-alertmanager` nor `alertmanager` is installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Alertmanager:
    """An Alertmanager on the loopback; its alerts live in memory alone, so a restart forgets them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._binary = alertmanager_binary()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "alertmanager.yml").write_text(CONFIG)

    def start(self) -> None:
        log = (self._folder / "alertmanager.log").open("ab")
        self._process = subprocess.Popen(
            [
                self._binary,
                f"--config.file={self._folder / 'alertmanager.yml'}",
                f"--storage.path={self._folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",
            ],
            stdout=log,
            stderr=log,
        )
        log.close()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/-/ready", timeout=1).is_success:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)
        self.stop()
        pytest.fail((self._folder / "alertmanager.log").read_text()[-2000:])

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(timeout=10)

    async def alerts(self) -> list[dict[str, Any]]:
        """Its list of what is firing."""
        async with httpx.AsyncClient(timeout=5) as client:
            response = await client.get(f"{self.url}/api/v2/alerts")
        found: list[dict[str, Any]] = response.json()
        return found

    async def names(self) -> list[str]:
        return sorted(alert["labels"]["alertname"] for alert in await self.alerts())


class Receiver:
    """A webhook's receiver: keeps what came, and acts once for each idempotency key, as receivers must."""

    def __init__(self, answer: Callable[[int], int]) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.acted_on: list[str] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.requests.append((dict(self.headers.items()), body))
                status = answer(len(receiver.requests))
                key = self.headers["Idempotency-Key"]
                if status < 300 and key not in receiver.acted_on:
                    receiver.acted_on.append(key)
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)
