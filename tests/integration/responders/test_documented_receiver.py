"""The receiver that docs/rollback.md gives, run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from decision_samples import command

from brokers.process import free_port
from schemas.rollbacks import RollbackCommand, RollbackState
from streams.responders.signatures import body_of
from streams.responders.webhook import request_headers

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "rollback.md"
SECRET = "a secret"


class Documented:
    """Its process, on the loopback."""

    def __init__(self) -> None:
        (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
        assert len([line for line in code.splitlines() if line.strip()]) <= 22
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "SECRET": SECRET, "PORT": str(port)},
        )  # fmt: skip

    def post(self, order: RollbackCommand, secret: str = SECRET) -> int:
        body = body_of(order)
        headers: dict[str, Any] = request_headers(order, body, secret)
        deadline = time.monotonic() + 20
        while True:
            try:
                return httpx.post(self.url, content=body, headers=headers, timeout=5).status_code
            except httpx.ConnectError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def said(self) -> list[str]:
        self.process.kill()
        out, _ = self.process.communicate(timeout=10)
        return out.splitlines()


@pytest.fixture
def receiver() -> Iterator[Documented]:
    made = Documented()
    yield made
    made.process.kill()
    made.process.wait(timeout=10)


def order(state: RollbackState = RollbackState.APPROVED, **changes: Any) -> RollbackCommand:
    return command(state, **{"expires_at": datetime.now(UTC) + timedelta(minutes=5), **changes})


def test_it_switches_once_and_only_for_whom_and_when_it_should(receiver: Documented) -> None:
    assert receiver.post(order(), secret="another") == 401
    assert receiver.post(order(expires_at=datetime.now(UTC) - timedelta(seconds=1))) == 410
    assert receiver.post(order(mode="dry_run")) == 204
    assert receiver.post(order(RollbackState.VERIFIED)) == 204
    assert receiver.post(order()) == receiver.post(order()) == 204
    assert receiver.said() == ["switch flight-delay to 7"]
