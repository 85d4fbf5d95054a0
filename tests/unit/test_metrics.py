"""What Prometheus gets to see."""

from __future__ import annotations

from collections import Counter

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from lanternpipe.telemetry.metrics import OUTCOMES, PartitionLag, Snapshot, open_metrics
from lanternpipe.version import VERSION

FAMILIES = {
    "pipeline_build": "info",
    "pipeline_consumed_records": "counter",
    "pipeline_records": "counter",
    "pipeline_in_flight_records": "gauge",
    "pipeline_assigned_partitions": "gauge",
    "pipeline_consumer_lag_records": "gauge",
    "pipeline_consumer_lag_seconds": "gauge",
}
BUSY = Snapshot(
    consumed=10,
    in_flight=2,
    outcomes=Counter(
        {("processed", ""): 5, ("filtered", "old"): 2, ("dead_lettered", 'b"u\\g\n'): 1}
    ),
    lag={("in", 1): PartitionLag(7, 0.5), ("in", 0): PartitionLag(0, 0.0)},
    assigned=2,
)


def scrape(snapshot: Snapshot) -> dict[str, Metric]:
    """Return the families that a scrape gives."""
    kind, body = open_metrics(lambda: snapshot)("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    families = parse_open(body.decode())  # type: ignore[no-untyped-call]
    return {family.name: family for family in families}


def samples(family: Metric) -> dict[tuple[str, ...], float]:
    """Return the values of a family by its labels' values, in the order of the labels' names."""
    return {
        tuple(dict(sorted(each.labels.items())).values()): each.value for each in family.samples
    }


def test_families() -> None:
    """Each family has its name, its type and a sentence about it."""
    found = scrape(BUSY)
    assert {name: family.type for name, family in found.items()} == FAMILIES
    assert all(family.documentation.endswith(".") for family in found.values())


def test_values() -> None:
    """What the processor knows of itself arrives as it is, whatever the reasons are called."""
    found = scrape(BUSY)
    assert samples(found["pipeline_consumed_records"]) == {(): 10}
    assert samples(found["pipeline_in_flight_records"]) == {(): 2}
    assert samples(found["pipeline_assigned_partitions"]) == {(): 2}
    assert samples(found["pipeline_records"]) == {
        ("processed", ""): 5,
        ("filtered", "old"): 2,
        ("dead_lettered", 'b"u\\g\n'): 1,
        ("duplicate", ""): 0,
        ("abandoned", ""): 0,
    }
    assert samples(found["pipeline_consumer_lag_records"]) == {("0", "in"): 0, ("1", "in"): 7}
    assert samples(found["pipeline_consumer_lag_seconds"]) == {("0", "in"): 0, ("1", "in"): 0.5}
    assert samples(found["pipeline_build"]) == {(VERSION,): 1}


def test_outcomes_exist_at_zero() -> None:
    """Every outcome has a series before the first record, so that a rate misses nothing."""
    found = scrape(Snapshot())
    assert samples(found["pipeline_records"]) == {(outcome, ""): 0 for outcome in OUTCOMES}
    assert samples(found["pipeline_consumed_records"]) == {(): 0}


@pytest.mark.parametrize("accept", ["", "text/plain;version=0.0.4", "*/*", "nonsense"])
def test_other_scrapers_get_plain_text(accept: str) -> None:
    """Whoever does not ask for OpenMetrics gets the older format."""
    kind, body = open_metrics(lambda: BUSY)(accept)
    assert kind.startswith("text/plain")
    names = {family.name for family in parse_plain(body.decode())}
    assert "pipeline_in_flight_records" in names


def test_each_scrape_is_of_this_moment() -> None:
    """Nothing is remembered from one scrape to the next."""
    moments = iter([BUSY, Snapshot()])
    render = open_metrics(lambda: next(moments))
    assert b'topic="in"' in render("")[1]
    assert b'topic="in"' not in render("")[1]
