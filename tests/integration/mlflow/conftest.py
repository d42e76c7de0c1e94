from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[2] / "unit" / "responders")]

from mlflow_server import PROGRAM, ROOT, Mlflow  # noqa: E402 - it lies beside this file


@pytest.fixture(scope="session")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    if not PROGRAM.exists():
        reason = f"needs MLflow, which `make test` installs into {PROGRAM.parents[1].relative_to(ROOT)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    server = Mlflow(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop()
