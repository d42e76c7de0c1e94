"""A real MLflow tracking server with its registry in sqlite, on the loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from brokers.process import free_port

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = ROOT / "build" / "mlflow" / "venv" / "bin" / "mlflow"


class Mlflow:
    """A tracking server with its registry in sqlite, on the loopback."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self._folder / "mlflow.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    PROGRAM, "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
                    "--backend-store-uri", f"sqlite:///{self._folder / 'registry.db'}",
                ],
                stdout=log, stderr=log, cwd=self._folder, start_new_session=True,
                env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
            )  # fmt: skip
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/health", timeout=1).is_success:
                    return
            except httpx.HTTPError:
                time.sleep(0.1)
        self.stop()
        pytest.fail((self._folder / "mlflow.log").read_text()[-2000:])

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:  # its workers are of its session
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=10)

    def post(self, path: str, **content: str) -> None:
        httpx.post(f"{self.url}/api/2.0/mlflow/{path}", json=content, timeout=20).raise_for_status()

    def register(self, name: str, n_versions: int, champion: int) -> None:
        """A model with versions 1 to n, and the alias on one of them."""
        self.post("registered-models/create", name=name)
        for _ in range(n_versions):
            self.post("model-versions/create", name=name, source="s3://models/x")
        self.post("registered-models/alias", name=name, alias="champion", version=str(champion))

    def champion(self, name: str) -> str:
        params = {"name": name, "alias": "champion"}
        found = httpx.get(f"{self.url}/api/2.0/mlflow/registered-models/alias", params=params, timeout=20)
        version: str = found.raise_for_status().json()["model_version"]["version"]
        return version
