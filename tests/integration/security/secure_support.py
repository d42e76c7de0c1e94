"""Settings that reach the encrypted listeners, `plumbline` as a process, and a receiver outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority, Certificate

from brokers.kafka import KafkaBroker
from streams.commands.configuration import load_settings
from streams.settings import Settings

USER = "plumbline"
PASSWORD = "sesame-street-3141"  # distinct enough to be searched for


@dataclass(frozen=True)
class SecureKafka:
    """The broker, and what clients of it may hold."""

    broker: KafkaBroker
    authority: Authority
    stranger: Authority
    client: Certificate
    folder: Path

    def address(self, listener: str) -> str:
        """Where a listener is."""
        assert self.broker.security is not None
        return self.broker.security.listeners[listener].bootstrap_servers

    def tls(self, **kafka: Any) -> dict[str, Any]:
        """Settings of a client with a certificate."""
        return {
            "bootstrap_servers": self.address("TLS"),
            "security_protocol": "SSL",
            "ssl_cafile": str(self.authority.cafile),
            "ssl_certfile": str(self.client.certfile),
            "ssl_keyfile": str(self.client.keyfile),
            **kafka,
        }

    def scram(self, mechanism: str = "SCRAM-SHA-512", **kafka: Any) -> dict[str, Any]:
        """Settings of a client with user and password."""
        return {
            "bootstrap_servers": self.address("SCRAM"),
            "security_protocol": "SASL_SSL",
            "ssl_cafile": str(self.authority.cafile),
            "sasl_mechanism": mechanism,
            "sasl_username": USER,
            "sasl_password": PASSWORD,
            **kafka,
        }


def environment(kafka: dict[str, Any], **more: str) -> dict[str, str]:
    """Environment of a `plumbline` process with topics and state of its own."""
    unique = uuid.uuid4().hex[:8]
    ours = {f"PLUMBLINE_KAFKA_{name.upper()}": str(value) for name, value in kafka.items() if value is not None}
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("PLUMBLINE_")},
        "PLUMBLINE_TOPICS_PREFIX": f"{unique}.",
        "PLUMBLINE_TOPICS_EVENTS_PARTITIONS": "2",
        "PLUMBLINE_TOPICS_MODELS_PARTITIONS": "1",
        "PLUMBLINE_ENGINE_APPLICATION_ID": f"test-{unique}",
        "PLUMBLINE_ENGINE_SESSION_TIMEOUT_SECONDS": "3",
        "PLUMBLINE_ENGINE_HEARTBEAT_INTERVAL_SECONDS": "1",
        "PLUMBLINE_ENGINE_SHUTDOWN_TIMEOUT_SECONDS": "2",
        "PLUMBLINE_WEB_PORT": "0",
        **ours,
        **more,
    }


def settings_of(variables: dict[str, str]) -> Settings:
    """Settings as a process with this environment has them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return load_settings()


def wait_until(condition: Callable[[], object], what: Callable[[], str], *, seconds: float = 30.0) -> None:
    """Poll a condition; what to say where it does not come true is looked up then."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


def plumbline(*arguments: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "streams.cli", *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)


class Worker:
    """A `plumbline worker`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def said(self) -> str:
        """Its log up to now."""
        return self._log.read_text()

    def get(self, path: str) -> tuple[int, str]:
        """Ask its pages."""
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", self.said)
        if found is None:
            return 0, ""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def wait_until_ready(self) -> None:
        """Wait until it does its work."""

        def is_ready() -> bool:
            assert self.process.poll() is None, self.said
            return self.get("/readyz")[0] == 200

        wait_until(is_ready, lambda: self.said)

    def end(self) -> int:
        """Stop it in order."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


@contextmanager
def worker(folder: Path, variables: dict[str, str]) -> Iterator[Worker]:
    """Run a worker of all stages."""
    log = folder / "worker.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "worker"], env=variables, stdout=file, stderr=file
        )
    try:
        yield Worker(process, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


class Outside:
    """An Alertmanager's and a webhook's place: counts requests by path, and refuses what is posted."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        outside = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self._answer(404)

            def _answer(self, status: int) -> None:
                outside.requests.append(self.path.partition("?")[0])
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)
