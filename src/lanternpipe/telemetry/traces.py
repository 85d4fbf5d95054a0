"""Spans of the records that are traced, made after the fact and by the batch.

A span costs more than all of the work on a record, so nothing is made for records that are not
traced, and what is made does not go through the SDK's tracer, which would make each span twice as
dear and attach it to a context that the next poll would inherit.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from lanternpipe.headers import EVENT_ID
from lanternpipe.measures import Exemplar
from lanternpipe.records import Headers, Records
from lanternpipe.telemetry.catalogue import SCHEMA_URL
from lanternpipe.telemetry.sampling import (
    Allowance,
    Parent,
    chosen,
    replaced,
    threshold,
    written,
)
from lanternpipe.version import VERSION

MOST_LINKS: Final = 128
SCOPE: Final = InstrumentationScope("lanternpipe", VERSION, SCHEMA_URL)
FLAGS: Final = TraceFlags(TraceFlags.SAMPLED)
UNSET: Final = Status(StatusCode.UNSET)


@dataclass(slots=True)
class TracedRun:
    """The traced records of one run, from before the planning until after the sending.

    Attributes:
        tracer: Whose it is.
        records: The run, with the ``traceparent`` of traced records replaced by that of their
            span, so that outputs and dead letters carry it on.
        parents: Context that each traced record came with, by place.
        contexts: Context of the span of each record that gets one, by place.
        granted: How many spans were granted before any record had failed.
    """

    tracer: RecordTracer
    records: Records
    parents: dict[int, Parent | None] = field(default_factory=dict)
    contexts: dict[int, SpanContext] = field(default_factory=dict)
    granted: int = 0

    def failed(self, place: int) -> bytes:
        """Trace a record because it failed; returns the ``traceparent`` of its dead letter."""
        if place not in self.contexts:
            self.contexts[place] = self.tracer.context(self.parents.setdefault(place, None))
        context = self.contexts[place]
        return written(context.trace_id, context.span_id)

    def end(
        self,
        failures: Mapping[int, tuple[str, str]],
        began: float,
        polled: tuple[float, float],
        until: int,
    ) -> Exemplar | None:
        """Emit the spans of the run, which has been sent; returns one record as an exemplar.

        Args:
            failures: Kind and stage of those that failed, by offset.
            began: When the work on the run began, in seconds since 1970.
            polled: When the poll that brought it began and ended.
            until: How many records were worked on; those behind will be read again.
        """
        return self.tracer.end(self, failures, began, polled, until) if self.parents else None


class RecordTracer:
    """Traces the records of one processor.

    Args:
        ratio: Share of records without decision that are traced.
        group: The consumer group.
        resource: What the spans belong to.
        emit: Takes finished spans.
        per_second: Most records that get a span in a second, and as many again that fail; further
            ones go on as they came, and are counted.
        rng: Makes ids.
        clock: Seconds since 1970.

    Attributes:
        links_omitted: Links that a batch's span has no room for.
    """

    def __init__(
        self,
        *,
        ratio: float,
        group: str,
        resource: Resource,
        emit: Callable[[ReadableSpan], None],
        per_second: int,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.links_omitted = 0
        self._ratio, self._limit = ratio, threshold(ratio)
        self._capped = self._passed_by = 0
        self._group = group
        self._resource = resource
        self._emit = emit
        self._spans, self._failures = Allowance(per_second), Allowance(per_second)
        self._bits = (rng or random.Random()).getrandbits  # noqa: S311  # ids, no secrets
        self._clock = clock

    @property
    def capped(self) -> int:
        """Records that got no span because there were too many, as far as these were chosen.

        Who would have been chosen among those that were not even looked at follows from the ratio.
        """
        return self._capped + round(self._passed_by * self._ratio)

    def begin(self, records: Records) -> TracedRun:
        """Choose the records to trace and give each the context of its span to be."""
        second, limit = int(self._clock()), self._limit
        if limit and self._spans.spent(second):
            # Only what others have decided is looked at: while behind, most time is like that.
            limit = 0
            self._passed_by += len(records)
        parents = chosen(records.keys, records.values, records.timestamps, records.headers, limit)
        if not parents:
            return TracedRun(self, records)
        granted = self._spans.take(len(parents), second)
        # A trace that has begun elsewhere is not to be cut off for the sake of a new one.
        places = sorted(parents, key=lambda place: (parents[place] is None, place))[:granted]
        contexts = {place: self.context(parents[place]) for place in places}
        headers: list[Headers | None] = list(records.headers or [None] * len(records))
        for place, context in contexts.items():
            headers[place] = replaced(headers[place], written(context.trace_id, context.span_id))
        return TracedRun(
            self,
            replace(records, headers=headers) if contexts else records,
            parents,
            contexts,
            granted,
        )

    def end(
        self,
        run: TracedRun,
        failures: Mapping[int, tuple[str, str]],
        began: float,
        polled: tuple[float, float],
        until: int,
    ) -> Exemplar | None:
        """As ``TracedRun.end``, for a run with traced records."""
        ended = self._clock()
        # In the order in which they got their contexts: those that failed come last.
        failed = len(run.contexts) - run.granted
        affordable = self._failures.take(failed, int(ended)) if failed else 0
        places = sorted(islice(run.contexts, run.granted + affordable))
        self._capped += len(run.parents) - len(places)
        places = [place for place in places if place < until]
        if not places:
            return None
        batch = self._batch_spans(run, places, polled, (began, ended))
        for place in places:
            self._record_span(run, place, batch, failures, (began, ended))
        last = places[-1]
        context, stamp = run.contexts[last], run.records.timestamps[last]
        return Exemplar(
            max(0.0, ended - stamp / 1_000),
            ended,
            f"{context.trace_id:032x}",
            f"{context.span_id:016x}",
        )

    def context(self, parent: Parent | None) -> SpanContext:
        """Return the context of a new span that is kept."""
        trace = parent.trace_id if parent is not None else self._bits(128) or 1
        return SpanContext(trace, self._bits(64) or 1, is_remote=False, trace_flags=FLAGS)

    def _batch_spans(
        self,
        run: TracedRun,
        places: Sequence[int],
        polled: tuple[float, float],
        times: tuple[float, float],
    ) -> SpanContext:
        records = run.records
        count = {"messaging.batch.message_count": len(records)}
        partition = None if records.sources else records.source.partition
        links = [
            Link(_remote(parent)) for place in places if (parent := run.parents[place]) is not None
        ]
        self.links_omitted += max(0, len(links) - MOST_LINKS)
        links = links[:MOST_LINKS]
        self._span(
            run,
            "poll",
            SpanKind.CLIENT,
            self.context(None),
            polled,
            partition=partition,
            attributes=dict(count),
            links=links,
        )
        context = self.context(None)
        self._span(
            run,
            "process",
            SpanKind.CONSUMER,
            context,
            times,
            partition=partition,
            attributes=dict(count),
            links=links,
        )
        return context

    def _record_span(
        self,
        run: TracedRun,
        place: int,
        batch: SpanContext,
        failures: Mapping[int, tuple[str, str]],
        times: tuple[float, float],
    ) -> None:
        parent, at = run.parents[place], run.records.at(place)
        offset = at.offset
        carried = run.records.carried.get(offset, {}).get(EVENT_ID)
        event = str(at)
        if carried:
            event = carried.decode("utf-8", "backslashreplace")
        attributes: dict[str, Any] = {
            "messaging.kafka.offset": offset,
            "pipeline.event.id": event,
        }
        if run.records.values[place] is None:
            attributes["messaging.kafka.message.tombstone"] = True
        status = UNSET
        if offset in failures:
            kind, stage = failures[offset]
            attributes["error.type"] = kind
            attributes["pipeline.stage"] = stage
            status = Status(StatusCode.ERROR, f"{kind} at {stage}")
        self._span(
            run,
            "process",
            SpanKind.CONSUMER,
            run.contexts[place],
            times,
            partition=at.partition,
            parent=None if parent is None else _remote(parent),
            attributes=attributes,
            links=[Link(batch)],
            status=status,
        )

    def _span(
        self,
        run: TracedRun,
        operation: str,
        kind: SpanKind,
        context: SpanContext,
        times: tuple[float, float],
        *,
        partition: int | None,
        attributes: dict[str, Any],
        links: Sequence[Link],
        parent: SpanContext | None = None,
        status: Status = UNSET,
    ) -> None:
        topic = run.records.source.topic
        if partition is not None:
            attributes["messaging.destination.partition.id"] = str(partition)
        self._emit(
            ReadableSpan(
                name=f"{operation} {topic}",
                context=context,
                parent=parent,
                resource=self._resource,
                attributes={
                    "messaging.system": "kafka",
                    "messaging.operation.name": operation,
                    "messaging.operation.type": "receive" if operation == "poll" else operation,
                    "messaging.destination.name": topic,
                    "messaging.consumer.group.name": self._group,
                    **attributes,
                },
                links=links,
                kind=kind,
                status=status,
                start_time=round(times[0] * 1e9),
                end_time=round(times[1] * 1e9),
                instrumentation_scope=SCOPE,
            )
        )


def _remote(parent: Parent) -> SpanContext:
    return SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=FLAGS)
