"""One run: broker, workers, load and faults; then the reckoning."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from brokers.kafka import KafkaBroker
from schemas import topics
from streams.control.view import ControlView
from streams.engine.follower import Follower
from streams.engine.lag import LagReader
from streams.engine.publisher import Publisher
from streams.engine.topics import TopicNames, ensure_topics
from streams.settings import ProcessingGuarantee, Settings, StageName

from . import evidence, workload
from .cluster import Cluster
from .director import SESSION_SECONDS, STATIC, WORKERS, Director
from .expected import Expected
from .load import Load
from .log_segments import group_generations
from .observed import READ, Observed
from .oracle import Oracle
from .plan import KILLS, FaultKind, Size, make_plan
from .verdict import Verdict, judge

_STAGES: Final = (StageName.PROFILER, StageName.EVALUATOR, StageName.GOVERNOR)
_APPLICATION: Final = "chaos"
_SETTLE_SECONDS: Final = 240.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is asked for."""

    seed: int
    n_events: int
    size: Size
    guarantee: ProcessingGuarantee
    partitions: int
    out: Path

    @property
    def fenced(self) -> bool:
        """Whether the broker fences owners."""
        return self.guarantee is ProcessingGuarantee.EXACTLY_ONCE


def make_settings(options: Options, bootstrap_servers: str) -> dict[str, dict[str, object]]:
    """Settings of the workers and of the run itself, by group and name."""
    return {
        "kafka": {"bootstrap_servers": bootstrap_servers, "connect_timeout_seconds": 30},
        "topics": {"events_partitions": options.partitions, "models_partitions": 2},
        "engine": {
            "application_id": _APPLICATION,
            "processing_guarantee": options.guarantee.value,
            "session_timeout_seconds": SESSION_SECONDS,
            "heartbeat_interval_seconds": 0.5,
        },
        # Nothing may hang on the wall clock: neither how long an outage was, nor how long the run is.
        "evaluator": {"idle_after_seconds": 86_400},
        "governor": {"max_rollbacks_per_hour": 100, "command_ttl_seconds": 86_400},
        "web": {"port": 0},
        "log": {"format": "json"},
    }


def environment(settings: dict[str, dict[str, object]]) -> dict[str, str]:
    """The same settings as environment variables."""
    return {
        f"PLUMBLINE_{group}_{name}".upper(): str(value) for group, of in settings.items() for name, value in of.items()
    }


async def run(options: Options) -> dict[str, Any]:
    """Run, judge, and return the summary; `passed` says whether everything held."""
    started = time.monotonic()
    with KafkaBroker(options.out / "broker") as broker:
        raw = make_settings(options, broker.bootstrap_servers)
        settings = Settings.model_validate(raw)
        await ensure_topics(settings)
        references = await asyncio.to_thread(workload.references, options.seed)
        control = ControlView()
        for output in workload.control_outputs(references):
            control.apply(output.topic, output.value or b"")
        oracle = Oracle({name: each.model_dump(mode="json") for name, each in references.items()})
        cluster = Cluster(environment(raw), static=STATIC, folder=options.out)
        try:
            async with Publisher(settings) as publisher:
                await publisher.publish_many(workload.control_outputs(references))
                director = await _disturb(options, cluster, broker, publisher, oracle)
                observed = await _settle(settings, control, cluster, publisher)
            disturbed_seconds = time.monotonic() - started
            codes = await cluster.close()
        finally:
            cluster.kill_all()
        expected = await _expected(settings, control)
        verdict = judge(oracle, expected, observed)
        proof = _proof(options, director, broker, verdict)
        generations = group_generations(
            broker.folder / "data", frozenset(TopicNames(settings).group(stage) for stage in _STAGES)
        )
    return _summary(
        options, director, cluster, verdict, proof, oracle=oracle, codes=codes, generations=generations,
        disturbed_seconds=disturbed_seconds, seconds=time.monotonic() - started,
    )  # fmt: skip


async def _disturb(
    options: Options, cluster: Cluster, broker: KafkaBroker, publisher: Publisher, oracle: Oracle
) -> Director:
    """Send the load while the plan is performed."""
    load = Load(workload.stream(options.seed, options.n_events), options.n_events, publisher, oracle)
    director = Director(
        cluster=cluster, broker=broker, load=load, application_id=_APPLICATION, fenced=options.fenced,
        seed=options.seed,
    )  # fmt: skip
    for name in WORKERS:
        cluster.start(name)
    cluster.supervise()
    for name in WORKERS:
        await cluster.ready(name)
    sending = asyncio.create_task(load.run())
    faults = asyncio.create_task(director.perform(make_plan(options.seed, options.size, fenced=options.fenced)))
    try:
        await asyncio.wait({sending, faults}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()  # all is sent before the last fault, or sending failed
        await faults
        load.finish()
        await sending
    finally:
        for each in (sending, faults):
            each.cancel()
    for name in WORKERS:
        await cluster.ready(name)
    return director


async def _settle(settings: Settings, control: ControlView, cluster: Cluster, publisher: Publisher) -> Observed:
    """Say that nothing more will come, wait until every stage has consumed everything, and read what it said."""
    names = TopicNames(settings)
    await publisher.publish_many(workload.final_watermarks())
    async with LagReader(settings, names) as lag:
        for stage in _STAGES:
            waiting = asyncio.create_task(lag.wait_until_consumed(stage, timeout_seconds=_SETTLE_SECONDS))
            await cluster.until(
                waiting.done, what=f"{stage.value} has consumed all", timeout_seconds=_SETTLE_SECONDS + 5
            )
            await waiting
    observed = Observed(control, skips_resent=settings.engine.processing_guarantee is ProcessingGuarantee.AT_LEAST_ONCE)
    n = settings.topics.events_partitions
    follower = Follower(settings, names, topics=READ, on_record=observed.take)
    await follower.start()
    try:
        await follower.caught_up()
        await cluster.until(
            lambda: observed.has_heard_all(n, workload.MODELS, workload.final_ms()),
            what="every source partition has told of the final watermark",
            timeout_seconds=60.0,
        )
    finally:
        await follower.stop()
    return observed


async def _expected(settings: Settings, control: ControlView) -> Expected:
    expected = Expected(settings, control)
    # In the order of appending: read apart, predictions run days of event time ahead of labels, and alerts expire.
    names = TopicNames(settings)

    follower = Follower(
        settings, names, topics=[topics.PREDICTIONS.name, topics.LABELS.name], on_record=expected.take, merged=True
    )
    await follower.start()
    try:
        await follower.caught_up()
    finally:
        await follower.stop()
    expected.decide(now_ms=round(time.time() * 1000))
    return expected


def _proof(options: Options, director: Director, broker: KafkaBroker, verdict: Verdict) -> dict[str, Any]:
    """What the broker's files say of transactions."""
    if not options.fenced:
        return {"kills_inside": [], "zombies": []}
    changelogs = [f"{_APPLICATION}-{stage.value}-changelog" for stage in _STAGES]
    log = evidence.TransactionLog.read(broker.folder / "data", [*changelogs, *READ])
    inside = evidence.kills_inside(director.kills, log)
    zombies = evidence.fenced_zombies(director.zombies, log)
    if options.size.kills and not inside:
        verdict.problems.append("no kill fell inside an open transaction: expected at least one")
    if len(zombies) != options.size.zombies:
        verdict.problems.append(f"{len(zombies)} zombies were fenced: expected {options.size.zombies}")
    if log.gone_back:
        verdict.problems.append(f"an older owner wrote behind a younger one: {log.gone_back[:3]}")
    return {"kills_inside": inside, "zombies": zombies}


def _summary(
    options: Options, director: Director, cluster: Cluster, verdict: Verdict, proof: dict[str, Any], *,
    oracle: Oracle, codes: dict[str, int], generations: dict[str, int], disturbed_seconds: float, seconds: float,
) -> dict[str, Any]:  # fmt: skip
    restores = sorted(line["seconds"] for worker in cluster.all for line in worker.said("task_restored"))
    lost = Counter(line["error"].partition("(")[0] for worker in cluster.all for line in worker.said("task_lost"))
    return {
        "passed": not verdict.problems,
        "problems": verdict.problems,
        "seed": options.seed,
        "guarantee": options.guarantee.value,
        "n_events": oracle.outcomes["predictions"] + oracle.outcomes["labels"],
        "kills": sum(director.done[kind] for kind in KILLS),
        "n_kills_inside_transaction": len(proof["kills_inside"]),
        "n_fenced_zombies": len(proof["zombies"]),
        "broker_restarts": director.done[FaultKind.BROKER_STOP] + director.done[FaultKind.BROKER_KILL],
        "broker_kills": director.done[FaultKind.BROKER_KILL],
        "joins": director.done[FaultKind.JOIN],
        "rolling_upgrades": director.done[FaultKind.ROLL],
        "rebalances": sum(generations.values()),
        "n_lost": verdict.figures.pop("n_lost"),
        "n_doubled": verdict.figures.pop("n_doubled"),
        "alerts_expected": verdict.figures.pop("alerts_expected"),
        "alerts_seen": verdict.figures.pop("alerts_seen"),
        "restore_seconds_p50": round(statistics.median(restores), 3) if restores else None,
        "restore_seconds_max": max(restores, default=None),
        "n_restores": len(restores),
        **verdict.figures,
        "task_losses": dict(lost),
        "worker_exits": [f"{name}: {code}" for name, code in cluster.exits],
        "exit_codes": {"rolled": dict(Counter(director.rolled)), "at_the_end": codes},
        "seconds_disturbed": round(disturbed_seconds, 1),
        "seconds": round(seconds, 1),
        "evidence": proof,
    }
