"""One life of a processor: the real loop, over the clients of a broker in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from lanternpipe.assembly import build_breaker, build_planner
from lanternpipe.pipeline import Context, Pipeline, Skip
from lanternpipe.records import Fetched, Place, Records
from lanternpipe.runtime.acknowledged import AtLeastOnce
from lanternpipe.runtime.batch import Planner
from lanternpipe.runtime.commit import Committer, ExactlyOnce
from lanternpipe.runtime.health import Health
from lanternpipe.runtime.interval import CommitInterval
from lanternpipe.runtime.measure import Measures
from lanternpipe.runtime.plan import Plan
from lanternpipe.runtime.process import Processor
from lanternpipe.runtime.watchdog import Deadline
from lanternpipe.settings import Settings
from lanternpipe.testing.doubles import Clock, LogBook
from lanternpipe.testing.fake_broker import FakeBroker
from lanternpipe.testing.fake_sink import FakePlainSink, FakeSink
from lanternpipe.testing.fake_source import FakeSource
from lanternpipe.testing.ledger import Ledger, marked
from lanternpipe.topology import topic_names

NEVER = 1e12  # seconds
EVERYTHING = 1_000_000  # records of one partition in one fetch


@dataclass(frozen=True, slots=True)
class Parts:
    """What a processor is made of; a test of the drill itself puts wrong ones in."""

    processor: type[Processor] = Processor
    exactly_once: type[ExactlyOnce] = ExactlyOnce
    at_least_once: type[AtLeastOnce] = AtLeastOnce


@dataclass(frozen=True, slots=True)
class Given:
    """What outlives a process.

    Attributes:
        settings: Those of the runtime.
        pipeline: The user's.
        app_settings: The user's own settings.
        broker: Holds records and offsets.
        ledger: Judges what becomes visible.
        clock: Moves when everything waits.
        log: Takes log lines.
        chance: Returns a number from 0 up to 1.
        parts: What a processor is made of.
    """

    settings: Settings
    pipeline: Pipeline[Any, Any]
    app_settings: object
    broker: FakeBroker
    ledger: Ledger
    clock: Clock
    log: LogBook
    chance: Callable[[], float]
    parts: Parts


class MarkingSource(FakeSource):
    """Hands out records that carry their place, so that it is known what each became.

    Attributes:
        most: Most records that one fetch brings.
        brought: How many the last one brought.
    """

    most = EVERYTHING
    brought = 0

    def fetch(self, max_records: int, timeout: float) -> Fetched:
        """Return records of all partitions in turn."""
        fetched = super().fetch(min(max_records, self.most), timeout)
        self.brought = sum(map(len, fetched.runs))
        return replace(fetched, runs=[replace(run, headers=marked(run)) for run in fetched.runs])


class WatchedPlanner(Planner):
    """Tells what it plans.

    Args:
        told: Called with each run, its plan, and the reasons of what was skipped.
        parts: Those of a planner.
    """

    def __init__(
        self, *, told: Callable[[Records, Plan, Mapping[Place, str]], None], **parts: Any
    ) -> None:
        super().__init__(**parts)
        self._told = told
        self._skipped: dict[Place, str] = {}

    def plan(
        self,
        records: Records,
        ctx: Context[Any],
        condemned: Mapping[int, str] | None = None,
        **more: Any,
    ) -> Plan:
        """Decide what becomes of every record of a run, and tell it."""
        plan = super().plan(records, ctx, condemned, **more)
        self._told(records, plan, self._skipped)
        return plan

    def plan_several(self, records: Records, *more: Any, **named: Any) -> Plan | None:
        """Decide what becomes of records of several partitions, and tell it if that was done."""
        plan = super().plan_several(records, *more, **named)
        if plan is not None:
            self._told(records, plan, self._skipped)
        return plan

    def _results(self, records: Records, *more: Any, **named: Any) -> list[Any]:
        results = super()._results(records, *more, **named)
        self._skipped = {
            records.at(place): str(result.reason)
            for place, result in enumerate(results)
            if type(result) is Skip
        }
        return results


class GivenInterval(CommitInterval):
    """Commits are due at every turn, or never."""

    def __init__(self) -> None:
        super().__init__(0.0, NEVER)

    def observe(self, commit_seconds: float, *, behind: bool) -> None:
        """Learn nothing."""


class Life:
    """A processor from its start to its end.

    Attributes:
        source: Its client that reads.
        sink: Its client that writes.
        interval: Whether commits are due.
        processor: Its loop.
    """

    def __init__(self, given: Given) -> None:
        settings, log, clock = given.settings, given.log, given.clock
        names = topic_names(settings, given.pipeline)
        exactly_once = settings.delivery == "exactly-once"
        self.source = MarkingSource(given.broker)
        self.sink = FakeSink(given.broker) if exactly_once else FakePlainSink(given.broker)
        self.interval = GivenInterval()
        health = Health(stuck_after=math.inf, log=log, clock=clock)
        planner = build_planner(
            settings,
            given.pipeline,
            log,
            chance=given.chance,
            make=lambda **parts: WatchedPlanner(told=given.ledger.plan, **parts),
        )
        self.processor = given.parts.processor(
            source=self.source,
            committer=self._committer(given, health),
            planner=planner,
            app_settings=given.app_settings,
            interval=self.interval,
            start="earliest",
            group=settings.kafka.group_id,
            batch_records=settings.batch_records,
            health=health,
            log=log,
            clock=clock,
            pause=clock.pause,
            measures=Measures(clock, clock),
            breaker=build_breaker(settings),
            hops={names.replay, *names.retries},
        )

    def _committer(self, given: Given, health: Health) -> Committer:
        if isinstance(self.sink, FakePlainSink):
            return given.parts.at_least_once(
                self.sink, self.source, deadline=_deadline(), waiting=health.wait
            )
        return given.parts.exactly_once(
            self.sink,
            self.source,
            deadline=_deadline(),
            id_is_shared=given.settings.instance is not None,
            waiting=health.wait,
        )


@cache
def _deadline() -> Deadline:
    """One for all lives, since each has a thread; never over, since a debugger may stop here."""
    return Deadline(math.inf)
