"""What a processor shows of itself, from what it knows."""

from __future__ import annotations

from collections.abc import Iterable

from lanternpipe.kafka.stats import Figure
from lanternpipe.publish import Identity, cause, samples
from lanternpipe.records import Backlog, TopicPartition
from lanternpipe.runtime.lag import Lag
from lanternpipe.runtime.measure import PHASES, Measures
from lanternpipe.runtime.positions import Position
from lanternpipe.runtime.sight import Sight
from lanternpipe.runtime.watermarks import Watermarks
from lanternpipe.telemetry.metrics import open_metrics

WHO = Identity("in", "in.dlq", "group", 300.0, ("app", "group", "exactly-once", "f"))
HERE = TopicPartition("in", 0)


def told(
    sight: Sight,
    watermarks: Watermarks | None = None,
    figures: Iterable[Figure] = (),
    partitions: Iterable[TopicPartition] = (),
    stable_at: float = 999.0,
) -> dict[tuple[str, ...], object]:
    """Return all values by the name of their metric and their labels."""
    at = list(partitions)
    found = samples(
        WHO,
        sight,
        dict.fromkeys(at, Lag(7, 0.5)),
        watermarks or Watermarks(),
        dict.fromkeys(at, 97),
        stable_at,
        {"consumer": figures},
        1_000.0,
    )
    return {(each.metric.name, *each.labels): each.value for each in found}


def test_the_ledger() -> None:
    """What was consumed, its outcomes with their cause, and what nobody accounts for."""
    outcomes = {("processed", ""): 5, ("dead_lettered", "bug"): 1, ("abandoned", "revoked"): 2}
    found = told(Sight(consumed=10, in_flight=1, unaccounted=1, outcomes=outcomes))
    assert found["messaging_client_consumed_messages", "in", "group"] == 10
    assert found["pipeline_records", "group", "processed", "", ""] == 5
    assert found["pipeline_records", "group", "dead_lettered", "pipeline", "bug"] == 1
    assert found["pipeline_records", "group", "abandoned", "rebalance", "revoked"] == 2
    assert found["pipeline_ledger_unaccounted_records", "group"] == 1


def test_causes() -> None:
    """The input is to blame for what cannot be read, the pipeline for its bugs."""
    assert cause("dead_lettered", "undecodable") == "input"
    assert cause("dead_lettered", "too_large") == "pipeline"
    assert cause("abandoned", "_TRANSPORT") == "broker"
    assert cause("filtered", "old") == cause("processed", "") == ""


def test_partitions() -> None:
    """Offsets, lag and what an open transaction holds back are told for each partition."""
    sight = Sight(positions={HERE: Position(next=90, committed=88)})
    marks = Watermarks({HERE: 100}, {HERE: 40}, Backlog(3, 400_000), at=998.0)
    found = told(sight, marks, partitions=[HERE])
    assert found["pipeline_consumer_lag_records", "group", "in", "0"] == 7
    assert found["pipeline_committed_offset", "group", "in", "0"] == 88
    assert found["pipeline_open_transaction_records", "group", "in", "0"] == 3
    assert found["pipeline_low_watermark_offset", "group", "in", "0"] == 40
    assert found["pipeline_watermark_age_seconds", "group"] == 2.0
    assert found["pipeline_dead_letters_records", "group", "in.dlq"] == 3
    assert found["pipeline_dead_letters_oldest_age_seconds", "group", "in.dlq"] == 600.0


def test_the_age_of_lag_is_that_of_the_older_answer() -> None:
    """Watermarks are as old as the older of both answers, and have no age before both came."""
    age = ("pipeline_watermark_age_seconds", "group")
    assert told(Sight(), Watermarks(at=998.0), stable_at=999.0)[age] == 2.0
    assert told(Sight(), Watermarks(at=998.0), stable_at=990.0)[age] == 10.0
    assert age not in told(Sight(), Watermarks(at=998.0), stable_at=0.0)
    assert age not in told(Sight(), Watermarks(), stable_at=999.0)


def test_time_by_phase() -> None:
    """Every phase is told from the start."""
    found = told(Sight(measured=Measures().read()))
    assert {name[2] for name in found if name[0] == "pipeline_time_seconds"} == {*PHASES}


def test_few_series_with_many_partitions() -> None:
    """A process with 64 input partitions and three brokers exposes less than 2,000 series."""
    partitions = [TopicPartition("in", number) for number in range(64)]
    sight = Sight(
        positions={at: Position(next=1, committed=1) for at in partitions},
        outcomes={("dead_lettered", f"reason {n}"): 1 for n in range(20)},
        measured=Measures().read(),
    )
    marks = Watermarks(
        dict.fromkeys(partitions, 1), dict.fromkeys(partitions, 1), Backlog(0, 0), 1.0
    )
    figures = [
        *(Figure("rdkafka_broker_up", str(broker), 1) for broker in range(3)),
        Figure("rdkafka_reply_queue_operations", "", 0),
    ]
    found = samples(
        WHO,
        sight,
        dict.fromkeys(partitions, Lag(0, 0.0)),
        marks,
        dict.fromkeys(partitions, 1),
        1.0,
        {"consumer": figures, "producer": figures},
        2.0,
    )
    _, body = open_metrics(lambda: list(found))("")
    lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
    assert 600 < len(lines) < 2_000
