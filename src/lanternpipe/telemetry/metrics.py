"""Prometheus metrics, made from a snapshot at scrape time: the loop only counts integers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder

from lanternpipe.version import VERSION

# Outcomes that exist at 0 before the first record, so that a rate can be taken from the first.
OUTCOMES: Final = ("processed", "filtered", "dead_lettered", "duplicate", "abandoned")


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """How far one input partition is behind.

    Attributes:
        records: Last stable offset minus position.
        seconds: Age of the oldest unfinished record; 0 when there is none.
    """

    records: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the processor knows of itself at one moment.

    Attributes:
        consumed: Deliveries handed to this process.
        in_flight: Deliveries not yet committed.
        outcomes: Final outcomes by outcome and reason.
        lag: By topic and partition, for those whose lag is known.
        assigned: How many partitions this process owns.
    """

    consumed: int = 0
    in_flight: int = 0
    outcomes: Mapping[tuple[str, str], int] = field(default_factory=dict)
    lag: Mapping[tuple[str, int], PartitionLag] = field(default_factory=dict)
    assigned: int = 0


class PipelineCollector:
    """Turns a snapshot into metric families whenever Prometheus asks."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics of this moment."""
        now = self._snapshot()
        yield InfoMetricFamily("pipeline_build", "The running version.", {"version": VERSION})
        yield CounterMetricFamily(
            "pipeline_consumed_records", "Records delivered to this process.", now.consumed
        )
        outcomes = CounterMetricFamily(
            "pipeline_records",
            "Deliveries by their final outcome, counted at commit.",
            labels=("outcome", "reason"),
        )
        for outcome in OUTCOMES:
            if not any(name == outcome for name, _ in now.outcomes):
                outcomes.add_metric((outcome, ""), 0)
        for (outcome, reason), count in now.outcomes.items():
            outcomes.add_metric((outcome, reason), count)
        yield outcomes
        yield GaugeMetricFamily(
            "pipeline_in_flight_records", "Deliveries not yet committed.", now.in_flight
        )
        yield GaugeMetricFamily(
            "pipeline_assigned_partitions", "Partitions owned by this process.", now.assigned
        )
        records = GaugeMetricFamily(
            "pipeline_consumer_lag_records",
            "Last stable offset minus position.",
            labels=("topic", "partition"),
        )
        seconds = GaugeMetricFamily(
            "pipeline_consumer_lag_seconds",
            "Age of the oldest unfinished record, 0 when there is none.",
            labels=("topic", "partition"),
        )
        for (topic, partition), lag in sorted(now.lag.items()):
            records.add_metric((topic, str(partition)), lag.records)
            seconds.add_metric((topic, str(partition)), lag.seconds)
        yield records
        yield seconds


def open_metrics(snapshot: Callable[[], Snapshot]) -> Callable[[str], tuple[str, bytes]]:
    """Return what renders the metrics for an ``Accept`` header, as content type and body."""
    registry = CollectorRegistry()
    registry.register(PipelineCollector(snapshot))

    def render(accept: str) -> tuple[str, bytes]:
        encoder, content_type = choose_encoder(accept)
        return content_type, encoder(registry)

    return render
