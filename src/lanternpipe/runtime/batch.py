"""What becomes of a run of records: outputs, filtered, dead letters. Pure; the heart of it all.

Works by passes at C speed (``map`` into ``list.extend``) over columns, because one long Python
body per record costs more than the client library does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress, count, repeat
from typing import Any, TypeVar

from lanternpipe.errors import Reject
from lanternpipe.pipeline import Context, Output, Skip
from lanternpipe.records import Headers, Outgoing, Records
from lanternpipe.runtime.deadletter import Cause, DeadLetters

T = TypeVar("T")

# What a record takes on the broker besides key, value and headers, with room to spare.
RECORD_OVERHEAD_BYTES = 512
# What says something about this process, and nothing about the record at hand.
ABOUT_THE_PROCESS = (MemoryError, KeyboardInterrupt)


@dataclass(frozen=True, slots=True)
class OutputTopic:
    """A topic that a transform may write to.

    Attributes:
        name: Its name on the broker.
        event: The type of its values.
        encode: Turns an event into bytes.
        max_bytes: The largest record batch that the topic takes.
    """

    name: str
    event: type
    encode: Callable[[Any], bytes]
    max_bytes: int


@dataclass(slots=True)
class Plan:
    """What is to be produced for a run of records, and how its records are counted.

    Attributes:
        outgoing: Outputs and dead letters, in the order in which they must be sent.
        processed: How many records have at least one output, or an empty list of them.
        filtered: Counts by the reason of ``Skip``.
        dead_lettered: Counts by kind of cause.
        causes: One per dead letter, for the log.
    """

    outgoing: list[Outgoing] = field(default_factory=list)
    processed: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    dead_lettered: Counter[str] = field(default_factory=Counter)
    causes: list[tuple[int, Cause]] = field(default_factory=list)


def attempt(
    function: Callable[..., T], column: Sequence[Any], *more: Iterable[Any]
) -> tuple[list[T | None], dict[int, BaseException]]:
    """Map ``function`` over columns; where it raises, the result is None and the error is kept.

    ``list.extend`` keeps what it got before an exception and ``map`` goes on behind the element
    that raised, so a batch without failures costs one C loop, and a failure one turn more.
    """
    results: list[Any] = []
    failures: dict[int, BaseException] = {}
    mapped = map(function, column, *more)
    while len(results) < len(column):
        try:
            results.extend(mapped)
        except ABOUT_THE_PROCESS:
            raise
        except BaseException as error:  # noqa: BLE001  # even sys.exit() concerns one record
            failures[len(results)] = error
            results.append(None)
        else:
            if len(results) < len(column):  # a StopIteration looks like the end of the column
                failures[len(results)] = StopIteration()
                results.append(None)
    return results, failures


class Planner:
    """Plans runs of records of one pipeline."""

    def __init__(
        self,
        *,
        decode: Callable[[Any], Any],
        explain: Callable[[bytes | None, BaseException], Reject],
        transform: Callable[[Any, Context[Any]], Any],
        output: OutputTopic,
        declared_output: str,
        also: Mapping[str, OutputTopic],
        dead_letters: DeadLetters,
    ) -> None:
        self._decode = decode
        self._explain = explain
        self._transform = transform
        self._output = output
        # By the names that user code knows; settings may call them otherwise on the broker.
        self._topics = {**also, declared_output: output}
        self._dead_letters = dead_letters

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
        results = self._results(records, ctx, condemned or {}, causes, enter)
        enter("encode")
        plan = Plan()
        kinds = list(map(type, results))
        skipped = list(_places_of(Skip, kinds))
        if kinds.count(self._output.event) + len(skipped) + len(causes) == len(results):
            plan.filtered.update(str(results[place].reason) for place in skipped)
            self._plan_single_outputs(plan, records, results, skipped, causes)
        else:
            self._plan_any_outputs(plan, records, results, causes)
        if causes:
            self._plan_dead_letters(plan, records, causes, failed)
        return plan

    def _results(
        self,
        records: Records,
        ctx: Context[Any],
        condemned: Mapping[int, str],
        causes: dict[int, Cause],
        enter: Callable[[str], object],
    ) -> list[Any]:
        """Return what the transform made of each record; None where ``causes`` says why not."""
        enter("decode")
        events, broken = attempt(self._decode, records.values)
        for place, error in broken.items():
            causes[place] = Cause.of(self._explain(records.values[place], error), "decode")
        for place, offset in enumerate(records.offsets) if condemned or records.unreadable else ():
            if offset in condemned:
                causes[place] = Cause("unproducible", "produce", condemned[offset])
            elif offset in records.unreadable:
                causes[place] = Cause("undecodable", "decode", "Headers")
        places: Sequence[int] = range(len(records))
        if causes:
            places = [place for place in places if place not in causes]
            events = [events[place] for place in places]
        enter("transform")
        transform = self._transform
        raised: dict[int, BaseException] = {}
        try:
            # Python calls Python faster than `map` does.
            results: list[Any] = [transform(event, ctx) for event in events]
        except ABOUT_THE_PROCESS:
            raise
        except BaseException:  # noqa: BLE001  # told by the second pass, one by one
            results, raised = attempt(transform, events, repeat(ctx))
        if causes:
            made = dict(zip(places, results, strict=True))
            results = [made.get(place) for place in range(len(records))]
        for index, error in raised.items():
            causes[places[index]] = Cause.of(error, "transform")
        return results

    def _plan_single_outputs(
        self,
        plan: Plan,
        records: Records,
        results: list[Any],
        skipped: Sequence[int],
        causes: dict[int, Cause],
    ) -> None:
        """Handle the common case: each result is one output event, ``Skip``, or a failure."""
        keys, timestamps, headers = records.keys, records.timestamps, records.headers
        keep = [True] * len(results)
        for place in (*skipped, *causes):
            keep[place] = False
        if not all(keep):
            results = list(compress(results, keep))
            keys, timestamps, headers = _kept(keep, keys, timestamps, headers)
        values, unencodable = attempt(self._output.encode, results)
        refused = {index: Cause.of(error, "encode") for index, error in unencodable.items()}
        refused.update(_too_large(values, keys, headers, self._output.max_bytes))
        if refused:
            places = list(compress(count(), keep))
            causes.update((places[index], cause) for index, cause in refused.items())
            left = [index not in refused for index in range(len(values))]
            values = list(compress(values, left))
            keys, timestamps, headers = _kept(left, keys, timestamps, headers)
        plan.processed += len(values)
        if values:
            plan.outgoing.append(Outgoing(self._output.name, keys, values, timestamps, headers))

    def _plan_any_outputs(
        self,
        plan: Plan,
        records: Records,
        results: list[Any],
        causes: dict[int, Cause],
    ) -> None:
        """Handle results of any form, one by one, so that outputs keep the order of inputs."""
        by_topic: dict[str, Outgoing] = {}
        for place, result in enumerate(results):
            if place in causes:
                continue
            if type(result) is Skip:
                plan.filtered[str(result.reason)] += 1
                continue
            wanted = result if isinstance(result, list | tuple) else [result]
            try:
                outputs = [self._one_output(records, place, item) for item in wanted]
            except _Refused as refusal:
                causes[place] = refusal.cause
                continue
            except Exception as error:  # noqa: BLE001  # an Output that is none, in some way
                causes[place] = Cause.of(error, "transform")
                continue
            if not outputs:
                plan.filtered["no_output"] += 1
                continue
            plan.processed += 1
            for topic, key, value, headers in outputs:
                batch = by_topic.setdefault(topic, Outgoing(topic, [], [], [], []))
                batch.keys.append(key)
                batch.values.append(value)
                batch.timestamps.append(records.timestamps[place])
                assert batch.headers is not None
                batch.headers.append(headers)
        plan.outgoing.extend(by_topic.values())

    def _one_output(
        self, records: Records, place: int, item: Any
    ) -> tuple[str, bytes | None, bytes, Headers | None]:
        output = item if isinstance(item, Output) else Output(item)
        topic = self._output if output.topic is None else self._topics.get(output.topic)
        if topic is None:
            raise _Refused(Cause("bug", "transform", "UndeclaredTopic"))
        if type(output.value) is not topic.event:
            raise _Refused(Cause("bug", "transform", f"Returned{type(output.value).__qualname__}"))
        try:
            value = topic.encode(output.value)
        except Exception as error:
            raise _Refused(Cause.of(error, "encode")) from error
        key = records.keys[place] if output.key is None else output.key
        if key is not None and not isinstance(key, bytes):
            raise _Refused(Cause("bug", "transform", f"Key{type(key).__qualname__}"))
        headers = records.headers[place] if records.headers else None
        if too_large := _too_large([value], [key], [headers], topic.max_bytes):
            raise _Refused(too_large[0])
        return topic.name, key, value, headers

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


class _Refused(Exception):  # noqa: N818  # control flow inside this file
    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.kind)
        self.cause = cause


def _places_of(kind: type, kinds: list[type]) -> Iterator[int]:
    """Yield where ``kind`` is; it is mostly rare, and a search runs at C speed."""
    place = -1
    for _ in range(kinds.count(kind)):
        place = kinds.index(kind, place + 1)
        yield place


def _kept(
    keep: Sequence[bool],
    keys: list[bytes | None],
    timestamps: list[int],
    headers: list[Headers | None] | None,
) -> tuple[list[bytes | None], list[int], list[Headers | None] | None]:
    """Return the columns of an output with only the records that ``keep`` tells."""
    return (
        list(compress(keys, keep)),
        list(compress(timestamps, keep)),
        None if headers is None else list(compress(headers, keep)),
    )


def _too_large(
    values: list[bytes | None],
    keys: list[bytes | None],
    headers: list[Headers | None] | None,
    limit: int,
) -> dict[int, Cause]:
    """Find the records that the topic would refuse; all at once first, as that is cheap."""
    rest = limit - RECORD_OVERHEAD_BYTES - sum(map(_headers_size, filter(None, headers or ())))
    if any(_length(of, values) + _length(of, keys) <= rest for of in (sum, max)):
        return {}
    found: dict[int, Cause] = {}
    for place, value in enumerate(values):
        size = len(value or b"") + len(keys[place] or b"") + RECORD_OVERHEAD_BYTES
        size += _headers_size((headers[place] if headers else None) or ())
        if size > limit:
            found[place] = Cause("too_large", "produce", "MSG_SIZE_TOO_LARGE", limit=f"{limit}")
    return found


def _headers_size(headers: Iterable[tuple[str, bytes | None]]) -> int:
    return sum(len(name) + len(content or b"") for name, content in headers)


def _length(of: Callable[[Iterable[int]], int], column: Sequence[bytes | None]) -> int:
    """Return the sum or the maximum of the lengths in a column."""
    try:
        return of(map(len, column or [b""]))  # type: ignore[arg-type]  # `except` is for None
    except TypeError:
        return of(map(len, [b"", *filter(None, column)]))
