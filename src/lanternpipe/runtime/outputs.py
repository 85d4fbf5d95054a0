"""Results of a transform to records of the output topics. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, count
from typing import Any

from lanternpipe.pipeline import Output, Skip
from lanternpipe.records import Headers, Outgoing, Records, wire_bytes
from lanternpipe.runtime.columns import attempt, kept
from lanternpipe.runtime.deadletter import Cause
from lanternpipe.runtime.plan import Plan

# What a record takes on the broker besides key, value and headers, with room to spare.
RECORD_OVERHEAD_BYTES = 512


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


class OutputPlanner:
    """Plans the outputs of one pipeline.

    Args:
        output: Where results go that do not say otherwise.
        declared: Its name in user code; settings may call it otherwise on the broker.
        also: Further topics, by their names in user code.
    """

    def __init__(self, output: OutputTopic, declared: str, also: Mapping[str, OutputTopic]) -> None:
        self._output = output
        self._topics = {**also, declared: output}

    def plan(
        self, plan: Plan, records: Records, results: list[Any], gone: dict[int, Cause]
    ) -> None:
        """Add outputs and filtered records to a plan.

        Args:
            plan: To be added to.
            records: The run.
            results: What the transform made of each.
            gone: Records without result, by place; those that can be no output are added.
        """
        event = self._output.event
        others = [place for place, result in enumerate(results) if type(result) is not event]
        skipped = [place for place in others if type(results[place]) is Skip]
        if len(skipped) + len(gone) == len(others):
            plan.filtered.update(str(results[place].reason) for place in skipped)
            self._single(plan, records, results, others, gone)
        else:
            self._any(plan, records, results, gone)

    def _single(
        self,
        plan: Plan,
        records: Records,
        results: list[Any],
        others: Sequence[int],
        causes: dict[int, Cause],
    ) -> None:
        """Handle the common case: each result is one output event; but for ``others``."""
        keys, timestamps, headers = records.keys, records.timestamps, records.headers
        keep = [True] * len(results)
        for place in others:
            keep[place] = False
        if others:
            results = list(compress(results, keep))
            keys, timestamps, headers = kept(keep, keys, timestamps, headers)
        values, unencodable = attempt(self._output.encode, results)
        refused = {index: Cause.of(error, "encode") for index, error in unencodable.items()}
        refused.update(_too_large(values, keys, headers, self._output.max_bytes))
        if refused:
            places = list(compress(count(), keep))
            causes.update((places[index], cause) for index, cause in refused.items())
            left = [index not in refused for index in range(len(values))]
            values = list(compress(values, left))
            keys, timestamps, headers = kept(left, keys, timestamps, headers)
        plan.processed += len(values)
        if values:
            plan.outgoing.append(Outgoing(self._output.name, keys, values, timestamps, headers))

    def _any(
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


class _Refused(Exception):  # noqa: N818  # control flow inside this file
    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.kind)
        self.cause = cause


def _too_large(
    values: list[bytes | None],
    keys: list[bytes | None],
    headers: list[Headers | None] | None,
    limit: int,
) -> dict[int, Cause]:
    """Find the records that the topic would refuse; all at once first, as that is cheap."""
    rest = limit - RECORD_OVERHEAD_BYTES - sum(map(_at_most, filter(None, headers or ())))
    if any(_length(of, values) + _length(of, keys) <= rest for of in (sum, max)):
        return {}
    found: dict[int, Cause] = {}
    for place, value in enumerate(values):
        size = len(value or b"") + len(keys[place] or b"") + RECORD_OVERHEAD_BYTES
        size += wire_bytes((headers[place] if headers else None) or [])
        if size > limit:
            found[place] = Cause("too_large", "produce", "MSG_SIZE_TOO_LARGE", limit=f"{limit}")
    return found


def _at_most(headers: Iterable[tuple[str, bytes | None]]) -> int:
    """Return a bound of ``wire_bytes`` that costs less: a character has four bytes at most."""
    return sum(4 * len(name) + len(content or b"") + 10 for name, content in headers)


def _length(of: Callable[[Iterable[int]], int], column: Sequence[bytes | None]) -> int:
    """Return the sum or the maximum of the lengths in a column."""
    try:
        return of(map(len, column or [b""]))  # type: ignore[arg-type]  # `except` is for None
    except TypeError:
        return of(map(len, [b"", *filter(None, column)]))
