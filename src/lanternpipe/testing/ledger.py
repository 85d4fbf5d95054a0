"""Judges what becomes visible on a broker in memory against what was planned for each record.

Anomalies have the names of Jepsen's Kafka workload where it has one. Pure but for its memory.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from lanternpipe import headers
from lanternpipe.records import Headers, Place, Records, TopicPartition
from lanternpipe.runtime.outcomes import Outcome
from lanternpipe.runtime.plan import Plan
from lanternpipe.testing.fake_broker import FakeBroker, Written, flatten

# Names the delivered record that a written one was made of. The runtime passes headers on.
MARK = "lanternpipe-drill-of"

Content: TypeAlias = tuple[str, bytes | None, bytes | None]
"""Topic, key and value."""


class Planned(NamedTuple):
    """What one attempt at one record came to.

    Attributes:
        outcome: Outcome and reason.
        records: What is to be written.
    """

    outcome: Outcome
    records: Counter[Content]


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One thing that must not happen.

    Attributes:
        name: As Jepsen calls it, where it does.
        text: What happened, and to which record.
    """

    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


def marked(run: Records) -> list[Headers | None]:
    """Return the headers of a run, each with the place of its record."""
    given = run.headers or [None] * len(run)
    return [
        [*unmarked(each), (MARK, f"{run.source}/{offset}".encode())]
        for each, offset in zip(given, run.offsets, strict=True)
    ]


def unmarked(given: Headers | None) -> Headers:
    """Return headers as they would be without a drill."""
    return [each for each in given or () if each[0] != MARK]


def origin(written: Written) -> Place | None:
    """Return which delivered record was made into this one, None where it does not say."""
    told = dict(written.headers or ())
    # A letter that is too large for its topic loses the headers of its record.
    text = told.get(MARK) or told.get(headers.EVENT_ID)
    return Place.parse(text.decode()) if text else None


class Ledger:
    """Holds every commit against the plans that it should carry out.

    Exactly once: a commit makes visible what one attempt at each of its records came to, no more
    and no less. At least once: what one attempt came to was visible before, perhaps repeatedly;
    committed offsets may go back, where it is not known what has been committed.

    Args:
        broker: Whose commits are judged.
        exactly_once: By which of the two laws.
        ordered: Whether records may not overtake each other.

    Attributes:
        fates: What became of each committed record.
        anomalies: What was found.
    """

    def __init__(self, broker: FakeBroker, *, exactly_once: bool, ordered: bool) -> None:
        self.fates: dict[Place, Outcome] = {}
        self.anomalies: list[Anomaly] = []
        self._broker = broker
        self._exactly_once = exactly_once
        self._ordered = ordered
        self._planned: defaultdict[Place, list[Planned]] = defaultdict(list)
        self._visible: defaultdict[Place, Counter[Content]] = defaultdict(Counter)
        self._last: dict[tuple[str, TopicPartition], int] = {}

    def plan(self, run: Records, plan: Plan, skipped: Mapping[Place, str]) -> None:
        """Learn what was planned for a run; ``skipped`` has the reasons of ``Skip``."""
        until = len(run) if plan.held is None else plan.held.place
        made: defaultdict[Place, Counter[Content]] = defaultdict(Counter)
        for batch in plan.outgoing:
            for each in flatten(batch):
                if place := origin(each):
                    made[place][each[:3]] += 1
        # Of a single partition, where there are any.
        dead = {Place(*run.source, offset): cause.kind for offset, cause in plan.causes}
        waiting = {Place(*run.source, offset): cause.kind for offset, cause in plan.waiting}
        for place in map(run.at, range(until)):
            outcome = ("processed", "")
            if place in dead:
                outcome = ("dead_lettered", dead[place])
            elif place in waiting:
                outcome = ("retried", waiting[place])
            elif not made[place]:
                outcome = ("filtered", skipped.get(place, "no_output"))
            self._planned[place].append(Planned(outcome, made[place]))

    def stored(self, written: Sequence[Written], offsets: Mapping[TopicPartition, int]) -> None:
        """Judge what is about to become visible together."""
        now: defaultdict[Place, Counter[Content]] = defaultdict(Counter)
        for each in written:
            place = origin(each)
            if place is None:
                self._find("phantom-read", f"{each.topic} got a record that was made of nothing")
                continue
            self._judge_order(each.topic, place, first=not (self._visible[place] or now[place]))
            now[place][each[:3]] += 1
        final = self._committed(offsets)
        if self._exactly_once:
            self._judge_strays(now, final)
        for place, contents in now.items():
            self._visible[place].update(contents)
        for place in final:
            visible = now[place] if self._exactly_once else self._visible[place]
            self._judge(place, visible)

    def _committed(self, offsets: Mapping[TopicPartition, int]) -> dict[Place, None]:
        """Return the records that become final."""
        final: dict[Place, None] = {}
        for at, behind in offsets.items():
            first, log = self._broker.group.get(at, 0), self._broker.logs[at]
            if behind < first and self._exactly_once:
                self._find("rewound-commit", f"{at} was committed up to {first}, now to {behind}")
            if behind > len(log):
                self._find("lost-write", f"{at} is committed up to {behind}, behind its end")
            for offset in range(first, min(behind, len(log))):
                if log[offset] is not None:
                    final[Place(*at, offset)] = None
        return final

    def _judge_strays(
        self, now: Mapping[Place, Counter[Content]], final: dict[Place, None]
    ) -> None:
        for place in now:
            if place in final:
                continue
            if place.offset < self._broker.group.get(place.source, 0):
                self._find("duplicate", f"{place} was final, and was written once more")
            else:
                self._find("precommitted-read", f"{place} was written before it is committed")

    def _judge(self, place: Place, visible: Counter[Content]) -> None:
        """Compare what is visible of a final record with the attempts at it."""
        attempts = self._planned[place][::-1]
        if fitting := next((one for one in attempts if self._fits(one, visible, attempts)), None):
            self.fates[place] = fitting.outcome
        elif not attempts:
            self._find("lost-write", f"{place} is committed, and was never processed")
        elif not visible:
            self._find("lost-write", f"{place} is committed, and nothing of it was written")
        elif any(one.records and one.records < visible for one in attempts):
            self._find("duplicate", f"{place} was written more than once")
        else:
            self._find("torn-write", f"{place}: what was written is of no single attempt")

    def _fits(self, one: Planned, visible: Counter[Content], attempts: Sequence[Planned]) -> bool:
        if self._exactly_once:
            return one.records == visible
        made = {content for each in attempts for content in each.records}
        return one.records <= visible and visible.keys() <= made

    def _judge_order(self, topic: str, place: Place, *, first: bool) -> None:
        key = topic, place.source
        last = self._last.get(key, -1)
        if self._ordered and first and place.offset < last:
            behind = Place(*place.source, last)
            self._find("reordering", f"{topic} got what {place} became behind that of {behind}")
        self._last[key] = max(last, place.offset)

    def _find(self, name: str, text: str) -> None:
        self.anomalies.append(Anomaly(name, text))
