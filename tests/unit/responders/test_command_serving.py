"""Programs as a serving side: what is filled in, what is passed on, and how they fail."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from decision_samples import command
from pydantic import ValidationError

from streams.responders.command_serving import CommandServing, filled
from streams.responders.mlflow_alias import ServingError
from streams.settings import ExecutorSettings

READ = "import pathlib, sys; print(pathlib.Path(sys.argv[1]).read_text())"
WRITE = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"


def programs(*arguments: str, read: str = READ, switch: str = WRITE, seconds: float = 20) -> CommandServing:
    return CommandServing(
        [sys.executable, "-c", read, *arguments], [sys.executable, "-c", switch, *arguments], timeout_seconds=seconds
    )


async def test_it_reads_switches_and_reads_back(tmp_path: Path) -> None:
    file = tmp_path / "version"
    file.write_text("8\n")
    side = CommandServing(
        [sys.executable, "-c", READ, str(file)], [sys.executable, "-c", WRITE, str(file), "{to_version}"],
        timeout_seconds=20,
    )  # fmt: skip
    assert await side.current_version("production", "flight-delay") == "8"
    await side.switch(command())
    assert await side.current_version("production", "flight-delay") == "7"


async def test_nothing_said_is_a_version_that_cannot_be_told() -> None:
    assert await programs(read="").current_version("production", "m") is None


def test_placeholders_stay_within_their_argument() -> None:
    argv = ["kubectl", "patch", "{model_name}", "-p", '{"spec": {"tag": "{to_version}"}}']
    assert filled(argv, {"model_name": "m", "to_version": "7"})[3:] == ["-p", '{"spec": {"tag": "7"}}']


@pytest.mark.parametrize("value", ["--help", "", "a b", "$(id)", "a;b", "a\nb", "7'", "x" * 300])
def test_what_a_program_could_take_for_something_else_is_refused(value: str) -> None:
    with pytest.raises(ServingError, match="to_version"):
        filled(["{to_version}"], {"to_version": value})
    with pytest.raises(ServingError, match="no placeholder"):
        filled(["{password}"], {"to_version": "7"})


async def test_a_program_that_fails_is_quoted() -> None:
    failing = "import sys; sys.exit('no such rollout')"
    with pytest.raises(ServingError, match="ended with 1: no such rollout"):
        await programs(switch=failing).switch(command())
    with pytest.raises(ServingError, match="cannot be run"):
        await CommandServing(["no-such-program"], ["x"], timeout_seconds=1).current_version("production", "m")


async def test_one_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    begun = time.monotonic()
    file = tmp_path / "done"
    late = f"import time, pathlib; time.sleep(30); pathlib.Path({str(file)!r}).touch()"
    with pytest.raises(ServingError, match=r"took longer than 0\.5 s and was killed"):
        await programs(switch=late, seconds=0.5).switch(command())
    assert time.monotonic() - begun < 20
    assert not file.exists()


async def test_only_named_variables_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/etc/kube")
    monkeypatch.setenv("PLUMBLINE_GOVERNOR_SIGNING_KEY", "secret")
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    side = CommandServing(
        [sys.executable, "-c", show], ["x"], timeout_seconds=20, environment=("KUBECONFIG", "NOT_SET")
    )
    shown = json.loads(await side.current_version("production", "m") or "{}")
    assert shown.pop("KUBECONFIG") == "/etc/kube"
    assert "PLUMBLINE_GOVERNOR_SIGNING_KEY" not in shown


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"kind": "mlflow"}, "mlflow_url is missing"), ({"kind": "command"}, "read_command and switch_command")],
)
def test_a_kind_without_what_it_needs_is_refused_at_the_start(settings: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ExecutorSettings.model_validate(settings)
