"""`python -m demo`: the whole of it. Exit codes: 0 all is well, 1 something is not, 2 usage, 3 no broker."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console

from brokers import Broker, BrokerError, open_broker
from brokers.process import free_port
from demo import account, expectations, report, setup, summary, tables
from demo.errors import DemoError
from demo.executor import Executor
from demo.flights import load_flights
from demo.in_memory import MemoryWire
from demo.journal import Journal
from demo.live import View
from demo.model import score
from demo.options import IN_MEMORY, ROOT, Options, parse
from demo.registry import Registry
from demo.scenarios import GOOD_VERSION, SCENARIOS
from demo.simulator import Simulator, deployment_output
from demo.traffic import Traffic
from demo.wire import Wire
from demo.worker import Worker
from schemas.base import milliseconds
from schemas.monitors import ModelEntry
from streams import logs
from streams.engine.errors import BrokerUnavailableError, EngineError
from streams.engine.topics import ensure_topics
from streams.settings import GovernorSettings, LogSettings, Settings, TopicSettings

_SERVE_PORT = 6066
_SHORT_TTL_SECONDS = 3.0
"""Where nobody executes commands, they expire while one looks on."""
_CACHE = ROOT / "build" / "demo-cache"
_NO_BROKER = 3
_PLAIN_WIDTH = 160


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and say how it went."""
    options = parse(arguments)
    logs.configure(LogSettings(level="error"))  # of the demo itself; the worker has a log of its own
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters comes as an exception
    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in the background without one
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # either way, end what was started
    try:
        return _run(options, console)
    except BrokerError as error:
        console.print(f"[red]no broker:[/] {error}", highlight=False)
        return _NO_BROKER
    except BrokerUnavailableError as error:
        console.print(f"[red]no broker:[/] {_unanswered(options, error)}", highlight=False)
        return _NO_BROKER
    except EngineError as error:
        console.print(f"[red]error:[/] {error}", highlight=False)
        return error.exit_code
    except DemoError as error:
        console.print(f"[red]error:[/] {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted")
        return 130


def environment(options: Options, broker: Broker) -> dict[str, str]:
    """The settings of this run, as the worker and the demo itself read them."""
    existing = ":" in options.broker
    run = f"demo-{secrets.token_hex(3)}" if existing else "demo"
    port = options.port or (_SERVE_PORT if options.serve else free_port())
    return {
        "PLUMBLINE_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "PLUMBLINE_TOPICS_PREFIX": f"{run}." if existing else "",
        "PLUMBLINE_TOPICS_EVENTS_PARTITIONS": "4",
        "PLUMBLINE_TOPICS_MODELS_PARTITIONS": "1",
        "PLUMBLINE_ENGINE_APPLICATION_ID": run,
        "PLUMBLINE_ENGINE_PROCESSING_GUARANTEE": "exactly_once" if broker.supports_transactions else "at_least_once",
        # A stage that has nothing to say moves its positions with its heartbeats; the simulator waits for them.
        "PLUMBLINE_ENGINE_HEARTBEAT_INTERVAL_SECONDS": "0.5",
        "PLUMBLINE_ENGINE_FETCH_MAX_WAIT_SECONDS": "0.05",  # the embedded broker answers no earlier
        "PLUMBLINE_ENGINE_SESSION_TIMEOUT_SECONDS": "6.0",
        "PLUMBLINE_GOVERNOR_SIGNING_KEY": secrets.token_hex(16),
        "PLUMBLINE_WEB_PORT": str(port),
        **(
            {}
            if SCENARIOS[options.scenario].executor_is_up
            else {"PLUMBLINE_GOVERNOR_COMMAND_TTL_SECONDS": str(_SHORT_TTL_SECONDS)}
        ),
    }


def _unanswered(options: Options, error: BrokerUnavailableError) -> str:
    """Name what was asked for here, rather than the setting that is made of it."""
    if ":" not in options.broker:
        return f"{options.broker}, started here, does not answer: {error}"
    seconds = Settings().kafka.connect_timeout_seconds
    return (
        f"none answered at --broker {options.broker} (`make demo BROKER=…`) within {seconds:g} s:"
        " expected host:port of one that runs, tansu or kafka"
    )


def _tuned() -> dict[str, str]:
    """What was set by hand for the engine and the clients stays as it was set."""
    kept = ("PLUMBLINE_ENGINE_", "PLUMBLINE_KAFKA_S", "PLUMBLINE_LOG_")
    return {name: value for name, value in os.environ.items() if name.startswith(kept)}


def _run(options: Options, console: Console) -> int:
    started = time.monotonic()
    entry = setup.load_entry(options.config)
    scenario = SCENARIOS[options.scenario]
    console.print(f"{options.scenario}: {scenario.what}.\nWhat should happen: {scenario.should}.", highlight=False)
    if options.broker == IN_MEMORY:
        with View(console) as view:
            return asyncio.run(_on_lists(options, entry, view, started))
    shutil.rmtree(options.out / "broker", ignore_errors=True)
    with View(console) as view, open_broker(options.broker, options.out / "broker") as broker:
        os.environ |= {**environment(options, broker), **_tuned()}
        settings = Settings()
        view.say(f"broker: {options.broker} at {broker.bootstrap_servers}")
        worker = Worker(os.environ, port=settings.web.port, log=options.out / "worker.log")
        return asyncio.run(_with_worker(options, entry, settings, worker, view, started))


def _clear(out: Path) -> None:
    """Forget the last run, so that nothing of it can be taken for this one's."""
    for name in ("summary.json", "report.html", "worker.log"):
        (out / name).unlink(missing_ok=True)


class _Inputs:
    """What a run starts from: flights and scores cut to the days that were asked for, and the reference."""

    def __init__(self, options: Options, entry: ModelEntry) -> None:
        self.options = options
        self.entry = entry
        flights = load_flights(_CACHE)
        scores = score(flights, seed=options.seed)
        serving = SCENARIOS[options.scenario].serve(flights, scores, options.deploy_at, options.seed)
        self.reference = setup.recorded_reference(flights, serving[GOOD_VERSION], entry, seed=options.seed)
        first, last = milliseconds(options.start_at), milliseconds(options.until_at)
        chosen = (flights.departure_ms >= first) & (flights.departure_ms < last)
        kept = {version: each.cut(chosen) for version, each in serving.items()}
        self.traffic = Traffic(flights.between(first, last), kept, seed=options.seed)
        self.registry = Registry(reference_id=setup.REFERENCE_ID, dataset_version=setup.DATASET_VERSION)


async def _on_lists(options: Options, entry: ModelEntry, view: View, started: float) -> int:
    """The same run without a broker and without a worker's process: its stages, on lists."""
    _clear(options.out)
    settings = Settings(
        topics=TopicSettings(events_partitions=1),
        governor=GovernorSettings(signing_key=SecretStr(secrets.token_hex(16)), **_time_to_live(options)),
    )
    view.say("reading a year of flights, training the model on 1 to 24 January")
    inputs = _Inputs(options, entry)
    wire = MemoryWire(settings)
    await wire.send(setup.control_outputs(inputs.entry, inputs.reference))
    events = inputs.registry.deploy(GOOD_VERSION, setup.first_departure(inputs.traffic, options), cause="release")
    await wire.send(deployment_output(event) for event in events)
    simulator = _simulator(inputs, wire, _no_worker, view)
    streaming = time.monotonic()
    await simulator.run()
    seconds = time.monotonic() - streaming
    return 0 if _finish(simulator, settings, view, started=started, stream_seconds=seconds) else 1


def _time_to_live(options: Options) -> dict[str, float]:
    return {} if SCENARIOS[options.scenario].executor_is_up else {"command_ttl_seconds": _SHORT_TTL_SECONDS}


def _no_worker() -> None:
    msg = "--kill-worker-on is given with --broker memory: expected a broker, since there is no worker to kill"
    raise DemoError(msg)


async def _with_worker(
    options: Options, entry: ModelEntry, settings: Settings, worker: Worker, view: View, started: float
) -> int:
    await ensure_topics(settings)
    _clear(options.out)  # not before a broker has answered: a run that cannot begin leaves the last report
    view.say("reading a year of flights, training the model on 1 to 24 January")
    inputs = _Inputs(options, entry)
    try:
        wire = Wire.make(settings, worker.check)
        async with wire:
            await wire.send(setup.control_outputs(inputs.entry, inputs.reference))
            first = setup.first_departure(inputs.traffic, options)
            events = inputs.registry.deploy(GOOD_VERSION, first, cause="release")
            await wire.send(deployment_output(event) for event in events)
            await asyncio.to_thread(worker.start)
            view.say(f"the worker is ready; its pages: {worker.url}")
            simulator = _simulator(inputs, wire, worker.kill, view)
            streaming = time.monotonic()
            await simulator.run()
            seconds = time.monotonic() - streaming
        passed = _finish(simulator, settings, view, started=started, stream_seconds=seconds)
        if options.serve:
            await _serve(worker, view)
        return 0 if passed else 1
    finally:
        worker.stop()


async def _serve(worker: Worker, view: View) -> None:
    """Keep the worker up until an interrupt, which is how this is meant to end; its own end is an error."""
    view.say(f"serving until it is interrupted (Ctrl-C): {worker.url}")
    try:
        await asyncio.to_thread(worker.wait)
    except asyncio.CancelledError:
        view.say("interrupted: the worker and the broker are ended")
        return
    worker.check()


def _simulator(inputs: _Inputs, wire: Wire | MemoryWire, kill_worker: Callable[[], None], view: View) -> Simulator:
    key = wire.settings.governor.signing_key
    return Simulator(
        options=inputs.options,
        spec=inputs.entry.spec(),
        traffic=inputs.traffic,
        registry=inputs.registry,
        executor=Executor(
            inputs.registry,
            signing_key=None if key is None else key.get_secret_value(),
            is_up=SCENARIOS[inputs.options.scenario].executor_is_up,
        ),
        wire=wire,
        journal=Journal(),
        say=view.say,
        on_step=view.show,
        kill_worker=kill_worker,
    )


def _finish(simulator: Simulator, settings: Settings, view: View, *, started: float, stream_seconds: float) -> bool:
    options, journal, totals = simulator.options, simulator.journal, simulator.totals
    checks = [
        *account.accounting(totals, simulator.sent),
        account.dead_letter_check(totals, len(journal.dead_letters)),
        *account.verdict(options, journal, simulator.registry, simulator.spec, simulator.sent),
        *expectations.expected(
            expectations.Run(
                options=options,
                journal=journal,
                registry=simulator.registry,
                spec=simulator.spec,
                sent=simulator.sent,
            )
        ),
    ]
    found = summary.summarise(
        simulator,
        checks,
        guarantee=settings.engine.processing_guarantee.value,
        wall_seconds=time.monotonic() - started,
        stream_seconds=stream_seconds,
    )
    bad = tables.reasons(simulator.bad_records, journal.dead_letters, journal.windows)
    page = options.out / "report.html"
    report.write(page, simulator, found, checks, bad)
    found["wall_seconds"] = round(time.monotonic() - started, 2)
    _write_json(options.out / "summary.json", found)
    view.__exit__(None, None, None)
    tables.print_result(view.console, found, checks, bad)
    view.console.print(
        f"\n{found['n_events']:,} events in {found['wall_seconds']:.0f} s ({found['events_per_second']:,}/s while"
        f" streaming, {found['processing_guarantee']}); report: {page}",
        highlight=False,
    )
    return bool(found["passed"])


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
