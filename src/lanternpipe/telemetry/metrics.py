"""Prometheus metrics, made from samples at scrape time: the loop only counts numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.samples import Exemplar as ClientExemplar

from lanternpipe.measures import Distribution
from lanternpipe.telemetry.catalogue import METRICS, Metric


class Sample(NamedTuple):
    """One value of one metric.

    Attributes:
        metric: Of the catalogue.
        value: A number, or a distribution for a histogram.
        labels: Values of the metric's labels, in their order.
    """

    metric: Metric
    value: float | Distribution
    labels: tuple[str, ...] = ()


class Collector:
    """Turns samples into metric families whenever Prometheus asks."""

    def __init__(self, samples: Callable[[], Iterable[Sample]]) -> None:
        self._samples = samples

    def describe(self) -> Iterable[Family]:
        """Return nothing: what exists is known at scrape time."""
        return ()

    def collect(self) -> Iterator[Family]:
        """Yield the metrics of this moment, in the order of the catalogue."""
        found: dict[Metric, dict[tuple[str, ...], float | Distribution]] = {}
        for sample in self._samples():
            found.setdefault(sample.metric, {})[sample.labels] = sample.value
        for metric in METRICS:
            values = found.get(metric, {})
            if values:
                yield _family(metric, {**_zeros(metric, values), **values})


def open_metrics(
    samples: Callable[[], Iterable[Sample]],
) -> Callable[[str], tuple[str, bytes]]:
    """Return what renders the metrics for an ``Accept`` header, as content type and body.

    Besides the given samples it shows ``process_*`` and ``python_gc_*`` of prometheus-client.
    """
    registry = CollectorRegistry()
    registry.register(Collector(samples))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)

    def render(accept: str) -> tuple[str, bytes]:
        encoder, content_type = choose_encoder(accept)
        return content_type, encoder(registry)

    return render


def _zeros(metric: Metric, values: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], float]:
    """Return what stands at 0 beside what has happened, for each that tells of the metric."""
    return {
        (*labels[: len(labels) - len(zero)], *zero): 0.0
        for zero in metric.zeros
        for labels in values
    }


def _family(metric: Metric, values: dict[tuple[str, ...], float | Distribution]) -> Family:
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
        for labels, value in values.items():
            assert isinstance(value, Distribution), metric.name
            histogram.add_metric(labels, _buckets(value), value.total)
        return histogram
    numbers = {labels: value for labels, value in values.items() if isinstance(value, int | float)}
    if metric.kind == "info":
        info = InfoMetricFamily(metric.name, metric.meaning)
        for labels in numbers:
            info.add_metric((), dict(zip(metric.labels, labels, strict=True)))
        return info
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.meaning, labels=metric.labels)
    for labels, number in numbers.items():
        family.add_metric(labels, number)
    return family


def _buckets(
    found: Distribution,
) -> list[tuple[str, float] | tuple[str, float, ClientExemplar]]:
    buckets: list[tuple[str, float] | tuple[str, float, ClientExemplar]] = []
    names = [*map(str, found.bounds), "+Inf"]
    for place, (name, count) in enumerate(zip(names, found.cumulated(), strict=True)):
        if (given := found.exemplars.get(place)) is None:
            buckets.append((name, count))
        else:
            labels = {"trace_id": given.trace_id, "span_id": given.span_id}
            buckets.append((name, count, ClientExemplar(labels, given.value, given.at)))
    return buckets
