"""What a look from outside tells of a group."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanternpipe.kafka.groups import Members
from lanternpipe.ops.lag import PartitionLag
from lanternpipe.ops.outside import Kept, Look, lost, retention_used, samples
from lanternpipe.records import TopicPartition

HERE, THERE = TopicPartition("in", 0), TopicPartition("in", 1)
WEEK = 7 * 24 * 3_600.0
FOR_A_WEEK, FOR_EVER = Kept(WEEK, None), Kept(None, None)


def lag(
    committed: int | None = 100,
    first: int = 0,
    end: int = 100,
    seconds: float | None = 0.0,
    at: TopicPartition = HERE,
) -> PartitionLag:
    """Return the lag of a partition, as it follows from its offsets."""
    records = max(0, end - max(first, committed or 0))
    return PartitionLag(at, committed, first, end, end, records, seconds)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"retention.ms": "60000", "retention.bytes": "-1"}, Kept(60.0, None)),
        ({"retention.ms": "-1", "retention.bytes": "1000"}, Kept(None, 1000)),
        ({"retention.ms": "0", "retention.bytes": "0"}, Kept(0.0, 0)),
        ({"cleanup.policy": "compact"}, FOR_EVER),
        ({"cleanup.policy": "compact,delete"}, FOR_A_WEEK),
    ],
    ids=["time", "size", "nothing is kept", "compacted", "both"],
)
def test_what_a_topic_keeps(config: dict[str, str], expected: Kept) -> None:
    """The limits are the topic's own; a topic that is only compacted has none."""
    default = {"retention.ms": "604800000", "retention.bytes": "-1", "cleanup.policy": "delete"}
    assert expected == Kept.of({**default, **config})


@pytest.mark.parametrize(
    ("found", "kept", "expected"),
    [
        (lag(), FOR_A_WEEK, 0.0),
        (lag(committed=0, seconds=WEEK / 2), FOR_A_WEEK, 0.5),
        (lag(committed=0, seconds=WEEK * 10), FOR_EVER, 0.0),
        (lag(committed=0, seconds=None), FOR_A_WEEK, None),
        (lag(committed=0, seconds=None), FOR_EVER, 0.0),
        (lag(committed=0, seconds=9.0), Kept(None, 1_000), 0.0),
        (lag(committed=30, first=20, seconds=9.0), Kept(None, 1_000), 70 / 80),
        (lag(committed=20, first=20, seconds=9.0), Kept(WEEK, 1_000), 9.0 / WEEK),
        (lag(committed=10, first=20, seconds=9.0), FOR_A_WEEK, 1.0),
        (lag(committed=10, first=20, end=20), FOR_A_WEEK, 1.0),
        (lag(committed=None, first=20, seconds=9.0), FOR_A_WEEK, 9.0 / WEEK),
        (lag(committed=0, seconds=0.0), Kept(0.0, None), 1.0),
    ],
    ids=[
        "caught up",
        "half a week behind",
        "kept for ever",
        "age not known",
        "kept for ever, age not known",
        "nothing deleted by size yet",
        "by size",
        "by time, where both delete",
        "records were deleted unread",
        "all was deleted unread",
        "nothing was ever committed",
        "nothing is kept",
    ],
)
def test_how_much_of_the_retention_is_used(
    found: PartitionLag, kept: Kept, expected: float | None
) -> None:
    """It is the share of what the topic keeps that is not committed, by time or by size."""
    used = retention_used(found, kept)
    assert used == (expected if expected is None else pytest.approx(expected))


@settings(deadline=None)
@given(
    st.none() | st.integers(0, 100),
    st.integers(0, 100),
    st.integers(0, 100),
    st.floats(0, 1e9),
    st.sampled_from([FOR_A_WEEK, FOR_EVER, Kept(None, 5), Kept(0.0, 0)]),
)
def test_lost_records_always_show(
    committed: int | None, first: int, more: int, seconds: float, kept: Kept
) -> None:
    """Whatever is lost, the retention has been used up; what is not behind uses none of it."""
    found = lag(committed, first, first + more, seconds)
    used = retention_used(found, kept)
    assert used is not None
    assert used >= 0
    assert not lost(found) or used >= 1
    assert found.records or lost(found) or used == 0


def test_a_look_is_told_by_partition() -> None:
    """Each number has its group, topic and partition; what nobody reads is counted by topic."""
    replay = TopicPartition("in.replay", 0)
    look = Look(
        [
            PartitionLag(HERE, 10, 20, 90, 95, 70, 3.0),
            lag(None, end=0, at=THERE),
            lag(None, end=0, at=replay),
        ],
        Members(1, frozenset({HERE, replay})),
        {"in": FOR_A_WEEK, "in.replay": FOR_EVER},
        1_000.0,
    )
    told = {(each.metric.name, *each.labels): each.value for each in samples("g", look)}
    here = ("g", "in", "0")
    assert told["pipeline_group_answered_timestamp_seconds", "g"] == 1_000.0
    assert told["pipeline_group_members", "g"] == 1
    assert told["pipeline_group_unassigned_partitions", "g", "in"] == 1
    assert told["pipeline_group_unassigned_partitions", "g", "in.replay"] == 0
    assert told["pipeline_group_lag_records", *here] == 70
    assert told["pipeline_group_lag_seconds", *here] == 3.0
    assert told["pipeline_group_committed_offset", *here] == 10
    assert told["pipeline_group_end_offset", *here] == 90
    assert told["pipeline_group_first_offset", *here] == 20
    assert told["pipeline_group_open_transaction_records", *here] == 5
    assert told["pipeline_group_lost_records", *here] == 10
    assert told["pipeline_group_retention_used_ratio", *here] == 1.0
    assert ("pipeline_group_committed_offset", "g", "in", "1") not in told
    assert told["pipeline_group_lag_records", "g", "in", "1"] == 0
