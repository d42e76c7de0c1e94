"""The services that a worker consists of, and the site it answers on; `streams.app` puts them together."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import mode
import structlog
from aiohttp import web

from schemas.topics import CONTROL_TOPICS
from streams import telemetry
from streams.control.view import ControlView
from streams.engine.broker_watch import BrokerWatch
from streams.engine.errors import ConfigurationError
from streams.engine.follower import Follower
from streams.engine.processor import Record, Staged
from streams.engine.runner import StageRunner
from streams.engine.topics import TopicNames, ensure_topics
from streams.settings import Settings, StageName, WebSettings

log = structlog.get_logger(__name__)

BEAT_LIMIT_SECONDS: Final = 15.0
"""A loop that has not turned for this long is stuck."""


class Exporter(Protocol):
    """What turns commits into metrics and pages; `streams.web.exporter.Exporter` is one."""

    def committed(self, stage: StageName, partition: int, staged: Staged) -> None:
        """Take what a commit made true."""

    def closed(self, stage: StageName, partition: int) -> None:
        """Forget the series of a task that is not ours any more."""


class Analyst(Protocol):
    """What answers deployment tools; `streams.web.analysis` has one, made from a board."""

    def analysis(self, environment: str, model_name: str) -> dict[str, Any] | None:
        """How a model's canary stands; None for a model that is not known."""

    def gate(self, request: object) -> tuple[bool, str]:
        """Whether a rollout may go on, and why; ValueError where the request names no model."""


class TopicsService(mode.Service):
    """Creates missing topics, and refuses a layout that does not fit, before anything else starts."""

    def __init__(self, settings: Settings, names: TopicNames, stages: Sequence[StageName]) -> None:
        super().__init__()
        self._settings = settings
        self._names = names
        self._stages = stages

    async def on_start(self) -> None:
        """Ensure the topics."""
        created = await ensure_topics(self._settings, self._names, stages=self._stages)
        log.info("topics_ready", created=len(created))


class BrokerWatchService(mode.Service):
    """Ends the worker where the broker no longer lets it in."""

    def __init__(self, settings: Settings, names: TopicNames) -> None:
        super().__init__()
        self._broker_watch = BrokerWatch(settings, names)

    @mode.Service.task
    async def _run(self) -> None:
        await self._broker_watch.run()


class ControlService(mode.Service):
    """Follows the control topics; started once everything that was there is in the view."""

    def __init__(self, settings: Settings, names: TopicNames, control: ControlView) -> None:
        super().__init__()
        self._control = control
        self._follower = Follower(
            settings,
            names,
            topics=[topic.name for topic in CONTROL_TOPICS],
            on_record=self._take,
            merged=True,
        )

    def _take(self, topic: str, record: Record) -> None:
        """Fold a record; one that is refused changes nothing, and is said and counted."""
        n_before = self._control.n_rejected
        self._control.apply_record(topic, record)
        if self._control.n_rejected > n_before:
            telemetry.CONTROL_REFUSED.labels(topic=topic).inc()
            log.warning("control_event_refused", why=self._control.rejected[-1])

    async def on_start(self) -> None:
        """Read the control topics to their present end."""
        await self._follower.start()
        await self._follower.caught_up()

    @mode.Service.task
    async def _watch(self) -> None:
        await self._follower.wait()

    async def on_stop(self) -> None:
        """Stop following."""
        await self._follower.stop()


class StageService(mode.Service):
    """A stage's runner as a service: an error of the runner crashes the application, loudly."""

    def __init__(self, runner: StageRunner) -> None:
        super().__init__()
        self.runner = runner

    @property
    def label(self) -> str:
        """Name in the service tree."""
        return f"Stage: {self.runner.stage.value}"

    async def on_start(self) -> None:
        """Join the group."""
        await self.runner.start()

    @mode.Service.task
    async def _watch(self) -> None:
        await self.runner.wait()

    async def on_stop(self) -> None:
        """End the tasks and leave the group."""
        await self.runner.stop()


class Site(mode.Service):
    """Metrics, health and the status page, on loopback unless the settings say otherwise.

    Parameters
    ----------
    settings
        Where to listen; port 0 takes a free one, `port` says which.
    runners
        Whose beats and readiness `/healthz` and `/readyz` report.
    render_status
        Makes the status page.
    analyst
        Answers `/analysis/…` and `/gate/flagger`; without one they are not there.
    monotonic
        The clock that the runners' beats are on.
    """

    def __init__(
        self,
        settings: WebSettings,
        runners: Sequence[StageRunner],
        render_status: Callable[[], str],
        *,
        analyst: Analyst | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        max_fetch_age_seconds: float = 300.0,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._runners = runners
        self._render_status = render_status
        self._analyst = analyst
        self._monotonic = monotonic
        self._max_fetch_age_seconds = max_fetch_age_seconds
        self._web: web.AppRunner | None = None
        self.started_stages = False
        """Set once every service is up: before that the worker is alive, but not ready."""
        self.port = settings.port

    async def on_start(self) -> None:
        """Listen."""
        application = web.Application()
        application.router.add_get("/", self._status)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        if self._analyst is not None:
            application.router.add_get("/analysis/{environment}/{model}", self._analysis)
            application.router.add_post("/gate/flagger", self._gate)
        self._web = web.AppRunner(application, access_log=None)
        await self._web.setup()
        host, port = self._settings.host, self._settings.port
        try:
            await web.TCPSite(self._web, host, port, shutdown_timeout=0.2).start()
        except OSError as error:
            msg = (
                f"the pages cannot be served on {host}:{port} ({error.strerror}): end what listens there, or set "
                "PLUMBLINE_WEB_PORT to a free port (0 takes any)"
            )
            raise ConfigurationError(msg) from error
        self.port = self._web.addresses[0][1]
        log.info("site_ready", address=f"http://{self._settings.host}:{self.port}/")
        if open_to := sorted({str(bound) for bound, *_ in self._web.addresses if not _is_loopback(bound)}):
            log.warning(
                "site_is_open",
                addresses=open_to,
                expected="a proxy or a network policy before it: the pages have no login (PLUMBLINE_WEB_HOST)",
            )

    async def on_stop(self) -> None:
        """Close the site."""
        if self._web is not None:
            await self._web.cleanup()

    def stuck(self) -> list[str]:
        """Return what has not turned for too long; empty where all is well."""
        if not self.started_stages:
            return []
        now = self._monotonic()
        found = [
            f"stage {runner.stage.value}: no loop has turned for {now - runner.beat:.0f} s"
            for runner in self._runners
            if now - runner.beat > BEAT_LIMIT_SECONDS
        ]
        return found + [
            f"stage {runner.stage.value}: nothing was asked of the broker for {now - runner.fetch_beat:.0f} s"
            for runner in self._runners
            if now - runner.fetch_beat > self._max_fetch_age_seconds
        ]

    def not_ready(self) -> list[str]:
        """Return what is still missing before the worker does its work."""
        if not self.started_stages:
            return ["starting: topics, control events"]
        return [
            f"stage {runner.stage.value}: "
            + (", ".join(f"{p} {ratio:.0%}" for p, ratio in runner.restore_progress.items()) or "unassigned")
            for runner in self._runners
            if not runner.is_ready
        ]

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _verdict(self.stuck())

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _verdict(self.not_ready())

    async def _metrics(self, _request: web.Request) -> web.Response:
        for runner in self._runners:
            runner.measure()
        return web.Response(body=telemetry.render(), headers={"Content-Type": telemetry.CONTENT_TYPE})

    async def _analysis(self, request: web.Request) -> web.Response:
        environment, model_name = request.match_info["environment"], request.match_info["model"]
        found = None if self._analyst is None else self._analyst.analysis(environment, model_name)
        if found is None:
            text = f"nothing is known of {environment}/{model_name}: expected a model whose partition is here"
            return web.json_response({"error": text}, status=404)
        return web.json_response(found)

    async def _gate(self, request: web.Request) -> web.Response:
        if self._analyst is None:
            return web.Response(status=404)
        try:
            is_open, why = self._analyst.gate(await request.json())
        except ValueError as error:  # no JSON is one, too
            return web.Response(status=400, text=f"{error}\n")
        return web.Response(status=200 if is_open else 403, text=f"{why}\n")

    async def _status(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._render_status(), content_type="text/html")


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _verdict(problems: list[str]) -> web.Response:
    if not problems:
        return web.Response(text="ok\n")
    return web.Response(status=503, text="\n".join(problems) + "\n")
