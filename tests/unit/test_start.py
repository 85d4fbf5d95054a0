"""Where a partition begins for which there is no valid offset."""

from __future__ import annotations

from typing import Any

import pytest

from lanternpipe.errors import OffsetError, RetriableFailure
from lanternpipe.records import Fetched, TopicPartition
from lanternpipe.runtime.health import Health
from lanternpipe.runtime.plan import Plan
from lanternpipe.runtime.start import PartitionStart
from lanternpipe.testing.doubles import LogBook
from lanternpipe.testing.fake_broker import Stored, run_of
from tests.unit.commits import batch
from tests.unit.worlds import World

HERE, THERE, _ = World().partitions


class Bench:
    """A part that starts partitions, in a world with two of them assigned."""

    def __init__(self, start: str = "earliest") -> None:
        self.world = World()
        self.log = LogBook()
        self.source = self.world.source
        self.work = self.world.processor.work
        for at in (HERE, THERE):
            self.source.assigned[at] = None
            self.work.positions.assign([at])
            self.world.broker.logs[at] = [Stored(b"good:0:0")] * 3
        self.start = PartitionStart(
            self.source,
            self.work,
            start=start,
            hops={"replay"},
            group="readers",
            health=Health(stuck_after=1.0, log=self.log),
            log=self.log,
        )

    def refusal(self) -> str:
        """Return the message by which a start is refused."""
        with pytest.raises(OffsetError) as caught:
            self.start.find([HERE])
        return str(caught.value)


def test_earliest_begins_with_the_first_record() -> None:
    """Without a committed offset, reading begins with the first record that exists."""
    bench = Bench()
    bench.world.broker.first[HERE] = 1
    bench.start.find([HERE])
    assert bench.source.assigned == {HERE: 1, THERE: None}
    assert bench.log.named("partition_started") == [
        {"partition": "in/0", "start": "earliest", "offset": None}
    ]


def test_what_was_sent_back_is_read_from_its_beginning() -> None:
    """Wherever the input starts, nothing in a replay or retry topic is passed over."""
    bench, replay = Bench("latest"), TopicPartition("replay", 0)
    bench.source.assigned[replay] = None
    bench.work.positions.assign([replay])
    bench.world.broker.logs[replay] = [Stored(b"good:0:0")] * 3
    bench.start.find([replay])
    assert bench.source.assigned[replay] == 0


def test_latest_is_pinned_by_the_next_commit() -> None:
    """A start at the end is committed soon, so that records that come meanwhile are not missed."""
    bench = Bench("latest")
    bench.start.find([HERE])
    assert bench.work.positions.uncommitted() == {HERE: 3}
    assert bench.work.seconds_until_due(5.0) == 0


@pytest.mark.parametrize(
    ("committed", "first", "says"),
    [
        (1, 2, "1 offsets were deleted before they were processed"),
        (9, 2, "the topic was made anew, or lost its end"),
    ],
    ids=["below", "beyond"],
)
def test_a_committed_offset_that_is_gone_stops_the_process(
    committed: int, first: int, says: str
) -> None:
    """Records lost on the broker are never jumped over: a person decides, by a command."""
    bench = Bench()
    bench.world.broker.group[HERE] = committed
    bench.world.broker.first[HERE] = first
    message = bench.refusal()
    for part in (
        f"in/0: the committed offset {committed} does not exist",
        "the broker holds 2 up to 2",
        says,
        "kafka-consumer-groups.sh",
        "--group readers --topic in:0 --reset-offsets --to-offset 2 --execute",
    ):
        assert part in message


def test_a_committed_offset_that_exists_is_gone_back_to() -> None:
    """Where the client stood behind an end that was lost, work goes on where it was committed."""
    bench = Bench()
    bench.world.broker.group[HERE] = 2
    bench.start.find([HERE])
    assert bench.source.assigned[HERE] == 2
    assert bench.work.positions.snapshot()[HERE].next == 2


@pytest.mark.parametrize("call", ["committed", "start_at"])
def test_a_broker_that_does_not_answer_is_asked_again(call: str) -> None:
    """While the broker does not answer the partition waits, and no other is started twice."""
    bench = Bench()
    bench.world.broker.fail(call, RetriableFailure("_TIMED_OUT", "asking"))
    bench.start.find([HERE, THERE])
    assert bench.log.named("waiting_for_broker") == [{"code": "_TIMED_OUT"}]
    bench.start.find([])
    bench.start.find([])
    started = [line["partition"] for line in bench.log.named("partition_started")]
    assert sorted(started) == ["in/0", "in/1"]


def test_a_partition_that_was_taken_away_is_not_started() -> None:
    """What no longer belongs to us is left alone."""
    bench = Bench()
    bench.world.broker.fail("committed", RetriableFailure("_TIMED_OUT", "asking"))
    bench.start.find([HERE])
    bench.work.positions.drop([HERE])
    bench.start.find([TopicPartition("in", 9)])
    assert bench.world.broker.calls.count("committed") == 1


def test_a_start_does_not_count_as_processed() -> None:
    """The records before a start at the end are not counted as anything."""
    world = World()
    script: list[list[tuple[Any, ...]]] = [[("append", 0, ["good"]), ("assign", 0, False)]]
    world.play(script)
    assert world.processor.work.outcomes.consumed == 1


def test_an_end_that_was_lost_takes_its_open_work_along() -> None:
    """Before a partition goes back to what is committed, what is in flight on it is undone."""
    bench = Bench()
    bench.work.start()
    bench.work.positions.assign([HERE])
    bench.world.broker.group[HERE] = 1
    bench.source.assigned[HERE] = 3
    records = run_of(HERE, [(at, Stored(b"good:0:%d" % at)) for at in (1, 2)])
    fresh = bench.work.admit(records)
    assert fresh is not None
    bench.work.send(fresh, Plan(processed=2, outgoing=[batch(b"one", b"two")]))
    bench.start.find([HERE])
    assert bench.work.outcomes.counted["abandoned", "log_cut"] == 2
    assert "abort" in bench.world.broker.calls
    assert bench.work.positions.snapshot()[HERE].next == 1
    assert bench.work.positions.in_flight() == 0


def test_records_of_a_log_that_is_gone_are_left_alone() -> None:
    """What came in the same fetch as the loss is not taken for records of the new log."""
    fetched = Fetched(
        runs=[run_of(HERE, [(10, Stored(b"old"))]), run_of(THERE, [(3, Stored(b"good"))])],
        ends=[(HERE, 11), (THERE, 4)],
        lost=[HERE],
    )
    left = fetched.without(fetched.lost)
    assert [run.source for run in left.runs] == [THERE]
    assert list(left.ends) == [(THERE, 4)]
