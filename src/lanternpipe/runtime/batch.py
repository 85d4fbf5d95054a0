"""What becomes of a run of records: outputs, filtered, dead letters. Pure; the heart of it all.

Works by passes at C speed (``map`` into ``list.extend``) over columns, because one long Python
body per record costs more than the client library does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from operator import length_hint
from typing import Any, NamedTuple, TypeAlias

from lanternpipe.errors import Reject, Retry
from lanternpipe.pipeline import Context
from lanternpipe.records import Records
from lanternpipe.runtime.columns import ABOUT_THE_PROCESS, attempt
from lanternpipe.runtime.deadletter import Cause, DeadLetters
from lanternpipe.runtime.outputs import OutputPlanner
from lanternpipe.runtime.plan import Plan
from lanternpipe.runtime.retry import Attempts, Held, is_alone
from lanternpipe.runtime.retrytopics import RetryTopics, Tier

Lookup: TypeAlias = Callable[[Sequence[Any], Context[Any]], Mapping[Any, Any]]
"""Asks others about the events of a batch."""

# Stands where a record has neither output nor dead letter, but goes to a retry topic.
WAITS = Cause("waits", "transform", "Retry")


class Progress(NamedTuple):
    """What the transform is at, for another thread to look at.

    Attributes:
        events: Those to come; how many it has left tells which one it is at.
        records: The run.
        places: Which of its records are transformed.
    """

    events: Iterator[Any]
    records: Records
    places: Sequence[int]

    def record(self) -> str:
        """Return the place of the record that the transform is at."""
        done = len(self.places) - length_hint(self.events)
        return str(self.records.at(self.places[max(0, done - 1)]))


class Planner:
    """Plans runs of records of one pipeline.

    Attributes:
        progress: What the transform is at; None while it does not run.
    """

    def __init__(
        self,
        *,
        decode: Callable[[Any], Any],
        explain: Callable[[bytes | None, BaseException], Reject],
        transform: Callable[[Any, Context[Any]], Any],
        outputs: OutputPlanner,
        dead_letters: DeadLetters,
        retry: Attempts | RetryTopics,
        lookup: Lookup | None = None,
    ) -> None:
        self.progress: Progress | None = None
        self._decode = decode
        self._explain = explain
        self._transform = transform
        self._outputs = outputs
        self._dead_letters = dead_letters
        self._retry = retry
        self._lookup = lookup

    def plan(
        self,
        records: Records,
        ctx: Context[Any],
        condemned: Mapping[int, str] | None = None,
        *,
        enter: Callable[[str], object] = lambda _: None,
        failed: Callable[[int], bytes | None] = lambda _: None,
    ) -> Plan:
        """Decide what becomes of every record of a run.

        Args:
            records: The run.
            ctx: Handed to the transform.
            condemned: Offsets whose output the broker refuses, with its code.
            enter: Told of the phases that begin: decode, transform, encode.
            failed: Gives the trace context of a dead letter, by the place of its record.
        """
        causes: dict[int, Cause] = {}
        again: dict[int, str] = {}
        results = self._results(records, ctx, condemned or {}, causes, again, enter)
        enter("encode")
        plan = Plan()
        if again and isinstance(self._retry, Attempts):
            records, results = self._hold(plan, self._retry, records, results, causes, again)
            again = {}
        elif again:
            self._send_round(plan, records, causes, again, ctx.now, failed)
        # What is no output and no longer of interest here.
        gone = {**causes, **dict.fromkeys(again, WAITS)}
        self._outputs.plan(plan, records, results, gone)
        causes = {place: cause for place, cause in gone.items() if cause is not WAITS}
        if causes:
            self._plan_dead_letters(plan, records, causes, failed)
        return plan

    def plan_several(
        self, records: Records, ctx: Context[Any], *, enter: Callable[[str], object]
    ) -> Plan | None:
        """Decide what becomes of records of several partitions, if nothing is the matter.

        Returns None where a record fails or is to be tried again: what follows from that is a
        matter of its partition, so each run is to be planned by itself.
        """
        causes: dict[int, Cause] = {}
        again: dict[int, str] = {}
        results = self._results(records, ctx, {}, causes, again, enter)
        if causes or again:
            return None
        enter("encode")
        plan = Plan()
        self._outputs.plan(plan, records, results, causes)
        return None if causes else plan

    def _hold(
        self,
        plan: Plan,
        attempts: Attempts,
        records: Records,
        results: list[Any],
        causes: dict[int, Cause],
        again: Mapping[int, str],
    ) -> tuple[Records, list[Any]]:
        """End the plan at the first record that is to be tried again, and is not given up."""
        source = records.source
        for place, reason in sorted(again.items()):
            offset = records.offsets[place]
            wait = attempts.failed(source, offset, alone=is_alone(records, results, again, place))
            if wait is None:
                causes[place] = _exhausted(reason, attempts.made(source, offset))
                continue
            plan.held = Held(place, reason, wait)
            for behind in [each for each in causes if each >= place]:
                del causes[behind]
            return records.head(place), results[:place]
        return records, results

    def _send_round(
        self,
        plan: Plan,
        records: Records,
        causes: dict[int, Cause],
        again: dict[int, str],
        now: int,
        failed: Callable[[int], bytes | None],
    ) -> None:
        """Send records that are to be tried again to their retry topics, or give them up."""
        assert isinstance(self._retry, RetryTopics)
        going: dict[int, tuple[Tier, Cause]] = {}
        for place, reason in list(again.items()):
            tier = self._retry.next_tier(records, place)
            if tier is None:
                causes[place] = _exhausted(reason, 1)
                del again[place]
                continue
            cause = Cause(reason, "transform", "Retry", traceparent=failed(place))
            going[place] = tier, cause
            plan.retried[reason] += 1
            plan.waiting.append((records.offsets[place], cause))
        plan.outgoing += self._retry.envelope(records, going, now)

    def _events(
        self, records: Records, condemned: Mapping[int, str], causes: dict[int, Cause]
    ) -> list[Any]:
        """Return the event of each record; nothing is to come of those that ``causes`` names."""
        events, broken = attempt(self._decode, records.values)
        for place, error in broken.items():
            causes[place] = Cause.of(self._explain(records.values[place], error), "decode")
        for place, offset in enumerate(records.offsets) if condemned or records.unreadable else ():
            if offset in condemned:
                causes[place] = Cause("unproducible", "produce", condemned[offset])
            elif offset in records.unreadable:
                causes[place] = Cause("undecodable", "decode", "Headers")
        return events

    def _results(
        self,
        records: Records,
        ctx: Context[Any],
        condemned: Mapping[int, str],
        causes: dict[int, Cause],
        again: dict[int, str],
        enter: Callable[[str], object],
    ) -> list[Any]:
        """Return what the transform made of each record.

        It is None where ``causes`` says why not, and where ``again`` says why it is to be tried
        again.
        """
        enter("decode")
        events = self._events(records, condemned, causes)
        places: Sequence[int] = range(len(records))
        if causes:
            places = [place for place in places if place not in causes]
            events = [events[place] for place in places]
        if self._lookup is not None:
            enter("lookup")
            ctx = ctx.looking_up(self._lookup(events, ctx))
        enter("transform")
        transform = self._transform
        raised: dict[int, BaseException] = {}
        try:
            # Python calls Python faster than `map` does.
            self.progress = Progress(iter(events), records, places)
            results: list[Any] = [transform(event, ctx) for event in self.progress.events]
        except ABOUT_THE_PROCESS:
            raise
        except BaseException:  # noqa: BLE001  # told by the second pass, one by one
            self.progress = Progress(iter(events), records, places)
            results, raised = attempt(transform, events, repeat(ctx), iterator=self.progress.events)
        finally:
            self.progress = None
        if causes:
            made = dict(zip(places, results, strict=True))
            results = [made.get(place) for place in range(len(records))]
        for index, error in raised.items():
            if isinstance(error, Retry):
                again[places[index]] = str(error.reason)
            else:
                causes[places[index]] = Cause.of(error, "transform")
        return results

    def _plan_dead_letters(
        self,
        plan: Plan,
        records: Records,
        causes: dict[int, Cause],
        failed: Callable[[int], bytes | None],
    ) -> None:
        ordered = sorted(causes)
        traced = [replace(causes[place], traceparent=failed(place)) for place in ordered]
        plan.causes = [
            (records.offsets[place], cause) for place, cause in zip(ordered, traced, strict=True)
        ]
        plan.dead_lettered.update(cause.kind for _, cause in plan.causes)
        plan.outgoing.append(self._dead_letters.envelope(records, ordered, traced))


def _exhausted(reason: str, attempts: int) -> Cause:
    return Cause("retries_exhausted", "transform", reason, attempts=attempts)
