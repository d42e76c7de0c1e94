"""Composition root: the Faust application, its services, and the process around them.

Faust is the shell: service tree, lifecycle, timers. Its own Kafka clients stay off; the stages' runners are
services of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import Any, Final

import faust
import mode
import structlog
from faust.app.base import BootStrategy

from streams import logs, telemetry
from streams.control.view import ControlView
from streams.engine.errors import EngineError
from streams.engine.loop import new_event_loop
from streams.engine.processor import Processor
from streams.engine.runner import StageRunner
from streams.engine.topics import TopicNames
from streams.settings import Settings, StageName
from streams.stages import STAGES
from streams.worker import Analyst, BrokerWatchService, ControlService, Exporter, Site, StageService, TopicsService

log = structlog.get_logger(__name__)

GC_THRESHOLD: Final = (200_000, 20, 100)
"""Records are plain values without cycles: collecting after every 700 of them costs several percent."""
_PULSE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the other rooms contribute to a worker.

    Attributes
    ----------
    control
        The view that control events are folded into.
    processors
        Makes the Processor of a partition, by stage.
    exporter
        Takes what was committed.
    render_status
        Makes the status page.
    analyst
        Answers deployment tools.
    services
        Further services, started last: the responders.
    preceding
        Services that must have caught up before a stage starts: the history of decisions.
    """

    control: ControlView
    processors: Mapping[StageName, Callable[[int], Processor]]
    exporter: Exporter
    render_status: Callable[[], str]
    analyst: Analyst | None = None
    services: Sequence[mode.Service] = ()
    preceding: Sequence[mode.Service] = ()


def product_parts(settings: Settings, names: TopicNames, stages: Iterable[StageName]) -> Parts:
    """Gather the product's own parts; a stage that is not asked for is not imported."""
    # Imported here: a worker of one stage loads neither the others nor their libraries.
    from streams.web.analysis import BoardAnalyst  # noqa: PLC0415
    from streams.web.exporter import Exporter as ProductExporter  # noqa: PLC0415
    from streams.web.history import History  # noqa: PLC0415
    from streams.web.status import render  # noqa: PLC0415

    control = ControlView()
    exporter = ProductExporter(settings=settings)
    chosen = frozenset(stages)
    return Parts(
        control=control,
        processors={stage: _processor(stage, settings, control) for stage in chosen & set(STAGES)},
        exporter=exporter,
        render_status=lambda: render(exporter, control),
        analyst=BoardAnalyst(exporter),
        services=_responders(settings, names) if StageName.RESPONDERS in chosen else (),
        preceding=(History(settings=settings, names=names, exporter=exporter),),
    )


def _processor(stage: StageName, settings: Settings, control: ControlView) -> Callable[[int], Processor]:
    if stage is StageName.PROFILER:
        from streams.profiler.processor import ProfilerProcessor  # noqa: PLC0415

        return lambda partition: ProfilerProcessor(partition=partition, settings=settings, control=control)
    if stage is StageName.EVALUATOR:
        from streams.evaluator.processor import EvaluatorProcessor  # noqa: PLC0415

        return lambda partition: EvaluatorProcessor(partition=partition, settings=settings, control=control)
    from streams.governor.processor import GovernorProcessor  # noqa: PLC0415

    return lambda partition: GovernorProcessor(partition=partition, settings=settings, control=control)


def _responders(settings: Settings, names: TopicNames) -> Sequence[mode.Service]:
    from streams.responders.service import Responders  # noqa: PLC0415

    return (Responders(settings=settings, names=names),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A composed application, not yet started."""

    app: faust.App
    site: Site
    runners: tuple[StageRunner, ...]


def build_app(settings: Settings, stages: Iterable[StageName], parts: Parts | None = None) -> Worker:
    """Compose the application; call it where the event loop runs.

    Parameters
    ----------
    settings
        All of them.
    stages
        Which stages this worker runs.
    parts
        What they are made of; the product's own by default.
    """
    names = TopicNames(settings)
    chosen = [stage for stage in StageName if stage in set(stages)]
    parts = parts or product_parts(settings, names, chosen)
    committed, closed = parts.exporter.committed, parts.exporter.closed
    runners = tuple(
        StageRunner(stage, settings, names, parts.processors[stage], committed, closed)
        for stage in chosen
        if stage in STAGES
    )
    site = Site(
        settings.web,
        runners,
        parts.render_status,
        analyst=parts.analyst,
        max_fetch_age_seconds=settings.engine.max_poll_interval_seconds,
    )
    services: list[mode.Service] = [
        site,  # first: it answers while the others start
        TopicsService(settings, names, [runner.stage for runner in runners]),
        BrokerWatchService(settings, names),
        ControlService(settings, names, parts.control),
        *parts.preceding,
        *(StageService(runner) for runner in runners),
        *parts.services,
    ]
    app = _faust_app(settings, services)
    app.timer(_PULSE_SECONDS)(partial(_pulse, runners))
    return Worker(app=app, site=site, runners=runners)


def _faust_app(settings: Settings, services: list[mode.Service]) -> faust.App:
    class Boot(BootStrategy):
        """Only our services: the event path has its own clients, and Faust's stay off."""

        enable_kafka_consumer = False
        enable_kafka_producer = False
        enable_web = False

        def server(self) -> Iterable[Any]:
            return services

    class App(faust.App):
        BootStrategy = Boot

        def _create_directories(self) -> None:
            """Make none: they are for Faust's tables, which are not used."""

    return App(
        settings.engine.application_id,
        broker=f"aiokafka://{settings.kafka.bootstrap_servers}",
        autodiscover=False,
        loop=asyncio.get_running_loop(),
    )


async def _pulse(runners: Sequence[StageRunner]) -> None:
    for runner in runners:
        states = runner.task_states
        log.info("pulse", stage=runner.stage.value, tasks=len(states), ready=runner.is_ready)


def run_worker(settings: Settings, stages: Iterable[StageName], parts: Callable[[], Parts] | None = None) -> int:
    """Run a worker until SIGINT or SIGTERM.

    Returns
    -------
    int
        0 after a clean end, 1 after a failure, 2 for a configuration to be changed, 3 where no broker answers, 4 where
        one refuses us.
    """
    logs.configure(settings.log)
    gc.set_threshold(*GC_THRESHOLD)
    telemetry.set_build_info(_version(), settings.engine.processing_guarantee.value)
    watchdog = Watchdog(settings.engine.shutdown_timeout_seconds)
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(_run(settings, frozenset(stages), parts, watchdog))
    except EngineError as error:
        log.error("worker_failed", error=str(error), kind=type(error).__name__)
        return error.exit_code
    except Exception:  # the last handler there is: say it, with its trace, and end non-zero
        log.exception("worker_failed")
        return 1
    finally:
        watchdog.disarm()
        gc.freeze()  # or the interpreter's last collections walk over all of it: half a second of every shutdown


async def _run(
    settings: Settings, stages: frozenset[StageName], parts: Callable[[], Parts] | None, watchdog: Watchdog
) -> int:
    stopping = asyncio.Event()
    with _signals(stopping, watchdog):
        worker = build_app(settings, stages, None if parts is None else parts())
        app = worker.app
        starting = asyncio.ensure_future(app.start())
        stop_asked = asyncio.ensure_future(stopping.wait())
        try:
            await asyncio.wait({starting, stop_asked}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting
                worker.site.started_stages = True
                log.info("worker_started", stages=sorted(stage.value for stage in stages))
                await app.wait(stopping.wait())
        finally:
            watchdog.arm(_failure(app, starting))
            starting.cancel()
            stop_asked.cancel()
            await asyncio.wait({starting})
            await app.stop()
    if app.crash_reason is not None:
        raise app.crash_reason
    log.info("worker_stopped")
    return 0


def _failure(app: faust.App, starting: asyncio.Future[Any]) -> BaseException | None:
    if starting.done() and not starting.cancelled() and (failed := starting.exception()) is not None:
        return failed
    crashed: BaseException | None = app.crash_reason
    return crashed


@contextlib.contextmanager
def _signals(stopping: asyncio.Event, watchdog: Watchdog) -> Iterator[None]:
    """Python's own handlers: they run while the loop is busy, so that the watchdog counts from the signal on."""
    loop = asyncio.get_running_loop()

    def stop(*_: object) -> None:
        watchdog.arm()
        loop.call_soon_threadsafe(stopping.set)

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class Watchdog:
    """Ends the process where an orderly end takes too long: a dead broker lets clients wait for ever.

    Parameters
    ----------
    timeout_seconds
        How long an orderly end may take.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._failure: BaseException | None = None
        self._disarmed = threading.Event()
        # A pipe, since a signal handler may write to one whatever the main thread was at; locks it may not take.
        self._armed, self._arm = os.pipe()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def arm(self, failure: BaseException | None = None) -> None:
        """Begin to count, once; the failure that led to the end, if one did, is said and gives the exit code."""
        self._failure = failure or self._failure
        os.write(self._arm, b"!")

    def disarm(self) -> None:
        """Stop counting: the end was orderly."""
        self._disarmed.set()
        self.arm()

    def _watch(self) -> None:
        os.read(self._armed, 1)
        if self._disarmed.wait(self._timeout_seconds):
            return
        sys.stderr.write(f"shutdown took more than {self._timeout_seconds:g} s: ending without waiting further\n")
        if self._failure is not None:
            sys.stderr.write(f"worker_failed: {type(self._failure).__name__}: {self._failure}\n")
        sys.stderr.flush()
        os._exit(self._failure.exit_code if isinstance(self._failure, EngineError) else 1)


def _version() -> str:
    try:
        return metadata.version("plumbline-monitor")
    except metadata.PackageNotFoundError:
        return "0.0.0"
