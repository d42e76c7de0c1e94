from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from fake_monitor import FakeWire

from demo.executor import Executor
from demo.flights import Flights, load_flights
from demo.journal import Journal
from demo.model import ServedScores, score
from demo.options import Options
from demo.registry import Registry
from demo.scenarios import GOOD_VERSION, SCENARIOS
from demo.setup import first_departure, load_entry
from demo.simulator import Simulator
from demo.traffic import Traffic
from schemas.base import milliseconds


@pytest.fixture(scope="session")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Flights:
    return load_flights(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def scores(flights: Flights) -> ServedScores:
    return score(flights, seed=7)


@pytest.fixture
def make_simulator(flights: Flights, scores: ServedScores) -> Callable[..., tuple[Simulator, FakeWire]]:
    def make(
        *, wire: FakeWire | None = None, said: list[str] | None = None, **changes: Any
    ) -> tuple[Simulator, FakeWire]:
        options = Options(**{"start": date(2013, 5, 27), "until": date(2013, 6, 23), **changes})
        first, last = milliseconds(options.start_at), milliseconds(options.until_at)
        chosen = (flights.departure_ms >= first) & (flights.departure_ms < last)
        serving = SCENARIOS[options.scenario].serve(flights, scores, options.deploy_at, options.seed)
        kept = {version: each.cut(chosen) for version, each in serving.items()}
        traffic = Traffic(flights.between(first, last), kept, seed=options.seed)
        registry = Registry(reference_id="r", dataset_version="d")
        registry.deploy(GOOD_VERSION, first_departure(traffic, options), cause="release")
        wire = wire or FakeWire()
        lines = [] if said is None else said
        simulator = Simulator(
            options=options,
            spec=load_entry(options.config).spec(),
            traffic=traffic,
            registry=registry,
            executor=Executor(registry),
            wire=wire,  # type: ignore[arg-type]
            journal=Journal(),
            say=lambda what, at: lines.append(f"{at:%d %b %H:%M} {what}"),
            on_step=lambda _: None,
            kill_worker=lambda: lines.append("killed"),
        )
        wire.now = lambda: simulator.now
        return simulator, wire

    return make
