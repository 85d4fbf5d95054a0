"""The demo's tracing: that of the shipped producer and processor, kept in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from lanternpipe.demo.recent import RecentTraces
from lanternpipe.ports import Log
from lanternpipe.settings import Settings
from lanternpipe.telemetry.sampling import DEFAULT_RATIO
from lanternpipe.telemetry.sending import SendTracer
from lanternpipe.telemetry.setup import traces
from lanternpipe.telemetry.traces import RecordTracer

# So many that there is one at once, and that one is soon dead-lettered.
TRACES_PER_SECOND = 50.0
SPANS_EVERY = 0.1  # seconds


class Tracing(NamedTuple):
    """What traces records on both sides of Kafka.

    Attributes:
        recent: Where spans go.
        sends: The producer's.
        records: The processor's; None where traces are switched off.
    """

    recent: RecentTraces
    sends: SendTracer
    records: RecordTracer | None


@contextmanager
def tracing(settings: Settings, topic: str, rate: float | None, log: Log) -> Iterator[Tracing]:
    """Trace records within the block as the settings and the standard variables ask for it.

    Args:
        settings: What is in force.
        topic: The input topic.
        rate: Records per second; None for as many as possible.
        log: Writes log lines.

    Raises:
        ConfigError: A standard variable has a value that we do not know.
    """
    recent = RecentTraces()
    opened = partial(
        traces,
        settings.telemetry,
        log=log,
        exporter=recent,
        ratio=ratio_at(rate),
        every=SPANS_EVERY,
    )
    # Two, as producer and processor are two services, though here they share a process.
    with (
        opened("lanternpipe-producer") as sent,
        opened("lanternpipe-processor") as processed,
    ):
        yield Tracing(
            recent,
            sent.of_sends(topic) if sent else SendTracer(topic, 0.0),
            processed.of_records(settings.kafka.group_id) if processed else None,
        )


def ratio_at(rate: float | None) -> float:
    """Return the share of records to trace, so that there are some in every second."""
    if rate is None:
        return DEFAULT_RATIO
    return min(1.0, max(DEFAULT_RATIO, TRACES_PER_SECOND / rate))
