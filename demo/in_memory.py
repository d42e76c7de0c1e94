"""The demo without a broker: the same three stages on lists, in this process; their clock is the flights'."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from demo.bad_input import BadRecord
from demo.errors import DemoError
from demo.totals import TotalsBook
from demo.wire import DECISIONS
from schemas import topics
from schemas.profiles import ProfileRecord
from streams.control.view import ControlView
from streams.engine.dead_letters import to_output
from streams.engine.processor import CommitContext, ListRecord, Output, Processor, Record
from streams.engine.topics import TopicNames
from streams.evaluator.processor import EvaluatorProcessor
from streams.governor.processor import GovernorProcessor
from streams.profiler.processor import ProfilerProcessor
from streams.settings import Settings, StageName

_CONTROL: Final = frozenset(
    topic.name for topic in (topics.MODELS, topics.MONITORS, topics.REFERENCES, topics.DEPLOYMENTS)
)
_STAGES: Final = (
    (StageName.PROFILER, ProfilerProcessor, frozenset({topics.PREDICTIONS.name, topics.LABELS.name})),
    (StageName.EVALUATOR, EvaluatorProcessor, frozenset({topics.PROFILES.name, topics.RESOURCES.name})),
    (
        StageName.GOVERNOR,
        GovernorProcessor,
        frozenset({topics.ALERTS.name, topics.EVIDENCE.name, topics.ROLLBACK_STATUS.name}),
    ),
)
_decode = msgspec.msgpack.Decoder(ProfileRecord).decode


@dataclass(slots=True)
class MemoryWire:
    """Stands where a `Wire` does; one partition of everything.

    Parameters
    ----------
    settings
        With one partition of events.
    """

    settings: Settings
    now_ms: int = 0
    """The wall clock of the stages; the simulator moves it along with the flights."""
    _control: ControlView = field(default_factory=ControlView)
    _stages: list[tuple[StageName, Processor, frozenset[str]]] = field(default_factory=list)
    _waiting: deque[Output] = field(default_factory=deque)
    _decided: list[tuple[str, Record]] = field(default_factory=list)
    _offsets: dict[str, int] = field(default_factory=dict)
    _seq: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _names: TopicNames = field(init=False)
    _book: TotalsBook = field(default_factory=TotalsBook)

    def __post_init__(self) -> None:
        if self.settings.topics.events_partitions != 1:
            msg = f"topics.events_partitions is {self.settings.topics.events_partitions}: expected 1 in memory"
            raise DemoError(msg)
        for name, kind, inputs in _STAGES:
            stage: Processor = kind(partition=0, settings=self.settings, control=self._control)
            stage.restored()
            self._stages.append((name, stage, inputs))
        self._names = TopicNames(self.settings)

    async def send(self, outputs: Iterable[Output]) -> int:
        """Take what is sent: control events at once, everything else with the next `settle`."""
        n = 0
        for output in outputs:
            self._take(output)
            n += 1
        return n

    async def settle(self) -> list[tuple[str, Record]]:
        """Let each stage commit in turn, and hand over what was decided."""
        for name, stage, inputs in self._stages:
            self._commit(name, stage, inputs)
        order = {name: i for i, name in enumerate(DECISIONS)}
        decided = sorted(self._decided, key=lambda each: order[each[0]])
        self._decided = []
        return decided

    async def pause(self, seconds: float) -> None:
        """Let the wall clock go on."""
        self.now_ms += round(seconds * 1000)

    def see(self, now_ms: int) -> None:
        """Move the wall clock along with the flights."""
        self.now_ms = max(self.now_ms, now_ms)

    async def close_books(self, final: Iterable[Output], *, not_before_ms: int, keys: Sequence[str]) -> dict[str, int]:
        """Send the final watermarks, and read the totals after them."""
        await self.send(final)
        self.see(not_before_ms)
        decided = await self.settle()
        self._decided = decided  # for the next `settle`
        if not self._book.has_reached(not_before_ms, keys):
            msg = "no sign of life past the final watermark: expected a Heartbeat of the profiler"
            raise DemoError(msg)
        return self._book.sums()

    async def send_bad(self, records: Iterable[BadRecord]) -> list[BadRecord]:
        """Send records that our own publisher refuses to, except what no broker takes."""
        limit = topics.PREDICTIONS.max_message_bytes
        taken = [bad for bad in records if len(bad.output.value or b"") < limit]
        await self.send(bad.output for bad in taken)
        return taken

    def _take(self, output: Output) -> None:
        if output.topic in _CONTROL and output.value is not None:
            self._control.apply(output.topic, output.value)
        elif output.topic == topics.PROFILES.name:
            self._book.take(_decode(output.value or b""))
        self._waiting.append(output)
        if output.topic in DECISIONS:
            self._decided.append((output.topic, self._record(output)))

    def _commit(self, name: StageName, stage: Processor, inputs: frozenset[str]) -> None:
        mine = [output for output in self._waiting if output.topic in inputs]
        self._waiting = deque(output for output in self._waiting if output.topic not in inputs)
        for topic, group in itertools.groupby(mine, key=lambda output: output.topic):
            stage.add(topic, [self._record(output, count=True) for output in group])
        context = CommitContext(
            partition=0,
            seq=next(self._seq),
            positions=dict(self._offsets),
            previous_positions={},
            now_ms=self.now_ms,
            caught_up=True,
        )
        staged = stage.stage(context, heartbeat=True)
        stage.apply(staged)
        for output in staged.outputs:
            self._take(output)
        for letter in staged.dead_letters:
            self._take(to_output(letter, stage=name, names=self._names))

    def _record(self, output: Output, *, count: bool = False) -> ListRecord:
        offset = self._offsets.get(output.topic, 0)
        if count:
            self._offsets[output.topic] = offset + 1
        return ListRecord(
            topic=output.topic,
            offset=offset,
            timestamp=self.now_ms,
            key=output.key,
            value=output.value,
            headers=output.headers,
        )
