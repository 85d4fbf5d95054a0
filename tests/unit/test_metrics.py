"""What Prometheus gets to see."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from lanternpipe.measures import Exemplar, Stamps, Tally
from lanternpipe.telemetry import catalogue
from lanternpipe.telemetry.catalogue import METRICS, Metric
from lanternpipe.telemetry.metrics import Sample, open_metrics

OPEN = "application/openmetrics-text; version=1.0.0"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def ages() -> Sample:
    """Return ages with an exemplar."""
    tally = Tally((0.1, 1.0))
    tally.add_ages(10_000, Stamps.of([9_950, 9_500, 1_000]))
    tally.exemplify(Exemplar(0.5, 10.0, TRACE, SPAN))
    return Sample(catalogue.RECORD_AGE, tally.read(), ("group", "polled"))


def scrape(*samples: Sample) -> dict[str, Family]:
    """Return the families that a scrape gives."""
    kind, body = open_metrics(lambda: samples)(OPEN)
    assert kind.startswith("application/openmetrics-text")
    families: Iterable[Family] = parse_open(body.decode())  # type: ignore[no-untyped-call]
    return {family.name: family for family in families}


def values(found: dict[str, Family], metric: Metric) -> dict[tuple[str, ...], float]:
    """Return the values of a metric by its labels' values, in the order of the catalogue."""
    return {
        tuple(each.labels[name] for name in metric.labels): each.value
        for each in found[metric.name].samples
    }


def test_names_are_unique_and_meanings_are_sentences() -> None:
    """Each metric of the catalogue has its own name, and a sentence about it."""
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert all(metric.meaning.endswith(".") for metric in METRICS)
    assert not [name for name in names if name.endswith(("_total", "_info"))]
    assert all(0 < len(zeros) <= len(metric.labels) for metric in METRICS for zeros in metric.zeros)


def test_outcomes_exist_before_the_first_record() -> None:
    """Each outcome exists at 0, so that a rate can be taken from the first record on."""
    found = scrape(Sample(catalogue.RECORDS, 7, ("group", "processed", "", "")))
    assert values(found, catalogue.RECORDS) == {
        ("group", *labels): 7 if labels[0] == "processed" else 0
        for labels in catalogue.RECORDS.zeros
    }


def test_reasons_may_be_anything() -> None:
    """A reason with quotes, backslashes and line ends arrives as it is."""
    odd = ("group", "dead_lettered", "input", 'b"u\\g\n')
    found = scrape(Sample(catalogue.RECORDS, 1, odd))
    assert values(found, catalogue.RECORDS)[odd] == 1


def test_a_histogram_has_its_exemplar() -> None:
    """Buckets are cumulated, and an exemplar carries the ids of its trace."""
    found = scrape(ages())["pipeline_record_age_seconds"]
    buckets = {each.labels["le"]: each for each in found.samples if "le" in each.labels}
    assert {le: each.value for le, each in buckets.items()} == {"0.1": 1, "1.0": 2, "+Inf": 3}
    exemplar = buckets["1.0"].exemplar
    assert exemplar is not None
    assert exemplar.labels == {"trace_id": TRACE, "span_id": SPAN}
    assert exemplar.value == 0.5


def test_kinds_and_names_are_those_of_the_catalogue() -> None:
    """A metric is exposed by its kind, under the name that the catalogue tells."""
    build = Sample(catalogue.BUILD, 1, ("1", "3", "2", "1"))
    found = scrape(build, ages(), Sample(catalogue.CONSUMED, 3, ("in", "group")))
    assert {name: found[name].type for name in found if name.startswith(("pipeline", "mess"))} == {
        "pipeline_build": "info",
        "messaging_client_consumed_messages": "counter",
        "pipeline_record_age_seconds": "histogram",
    }
    assert found["pipeline_build"].samples[0].name == catalogue.BUILD.exposed
    assert found["messaging_client_consumed_messages"].samples[0].name == catalogue.CONSUMED.exposed


def test_the_process_itself_is_shown() -> None:
    """CPU, memory and garbage collection of the process stand beside our own metrics."""
    found = scrape()
    assert {"process_cpu_seconds", "process_resident_memory_bytes"} <= found.keys()
    assert any(name.startswith("python_gc_") for name in found)


def test_text_format_is_served_to_whom_asks_for_no_other() -> None:
    """Without an `Accept` header the classic format is served, with the same numbers."""
    samples = [Sample(catalogue.CONSUMED, 3, ("in", "group"))]
    kind, body = open_metrics(lambda: samples)("")
    assert kind.startswith("text/plain")
    families: Iterable[Family] = parse_plain(body.decode())
    found = {family.name: family for family in families}
    assert values(found, catalogue.CONSUMED) == {("in", "group"): 3}
