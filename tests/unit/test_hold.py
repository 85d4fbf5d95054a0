"""A record that is to be tried again: its partition waits, and nothing else does."""

from __future__ import annotations

from lanternpipe.records import TopicPartition
from lanternpipe.runtime.retry import Held
from lanternpipe.testing.fake_broker import Stored, run_of
from tests.unit.worlds import Script, World

HERE, THERE, _ = World().partitions
ASSIGNED: Script = [[("assign", 0, False), ("assign", 0, False)], [("due", True)]]


def values(world: World) -> list[bytes]:
    """Return what was written, in order."""
    return [each.value or b"" for each in world.broker.written]


def test_only_the_partition_of_the_record_waits() -> None:
    """What is before it is written, what is behind it comes later, others go on meanwhile."""
    world = World()
    world.play(
        [
            *ASSIGNED,
            [("append", 0, ["good", "latest", "good"]), ("append", 1, ["good"])],
            [],
            [("append", 1, ["good"])],
        ]
    )
    assert values(world)[:3] == [b"good:0:0", b"good:1:0", b"good:1:1"]
    assert values(world)[3:] == [b"latest:0:1", b"good:0:2"]


def test_every_delivery_of_a_hold_is_accounted_for() -> None:
    """The record counts as retried, and what was put back with it as abandoned."""
    world = World()
    world.play([*ASSIGNED, [("append", 0, ["latest", "good"])], []])
    counted = world.processor.work.outcomes.counted
    assert counted["retried", "not_yet"] == 2
    assert counted["abandoned", "held"] == 2
    assert counted["processed", ""] == 2


def test_no_transaction_is_open_during_a_hold() -> None:
    """Offsets stand at the record that waits, and nothing is begun until it is tried again."""
    world = World()
    begun: list[int] = []
    world.look = lambda: begun.append(world.broker.begun)  # type: ignore[attr-defined]
    world.play(
        [
            *ASSIGNED,
            [("append", 0, ["good", "latest", "good"])],
            *([[("look",)]] * 3),
        ]
    )
    assert len(set(begun)) == 1
    assert world.source.paused == set()


def test_the_record_that_waits_is_where_the_group_stands() -> None:
    """A crash in the midst of a hold begins with the very record that waited."""
    world = World()
    seen: list[dict[TopicPartition, int]] = []
    world.look = lambda: seen.append(dict(world.broker.group))  # type: ignore[attr-defined]
    world.play([*ASSIGNED, [("append", 0, ["good", "latest", "good"])], [("look",)]])
    assert [group[HERE] for group in seen] == [1]


def test_what_is_undone_before_a_hold_is_read_again() -> None:
    """When the work before the record that waits is undone, reading goes back to that work."""
    world = World()
    world.play(
        [
            *ASSIGNED,
            [
                ("append", 0, ["good", "latest", "good"]),
                ("fault", "commit", "abortable", False),
            ],
            [],
        ]
    )
    assert values(world) == [b"good:0:0", b"latest:0:1", b"good:0:2"]


def test_a_hold_ends_with_the_assignment() -> None:
    """A partition that goes during a hold and comes back is read from where the group stands."""
    world = World()
    world.play(
        [
            *ASSIGNED,
            [("append", 0, ["latest", "good"])],
            [("revoke", 0, False)],
            [("assign", 0, False)],
            [],
        ]
    )
    assert values(world) == [b"latest:0:0", b"good:0:1"]


def test_a_hold_is_no_stall() -> None:
    """However long it takes, and however slow each attempt is, the client is not replaced."""
    world = World(stall_after=20.0)
    world.slow = lambda: setattr(world.clock, "now", world.clock.now + 10)  # type: ignore[attr-defined]
    world.patience.waits["latest"] = 200
    world.play([*ASSIGNED, [("append", 0, ["latest", "good"])], *([[("slow",)]] * 12)])
    assert not world.log.named("partitions_stalled")
    assert values(world) == [b"latest:0:0", b"good:0:1"]


def test_a_batch_that_takes_too_long_is_cut_short() -> None:
    """What is not begun in time is put back, so that the transaction does not expire."""
    world = World(batch_seconds=5.0)
    world.patience.takes = 6.0
    world.play(
        [*ASSIGNED, [("append", 0, ["good"]), ("append", 1, ["good"])], [], []],
    )
    assert world.processor.work.outcomes.counted["abandoned", "no_time"] > 0
    assert sorted(values(world)) == [b"good:0:0", b"good:1:0"]


def test_backpressure_stops_reading_and_not_the_loop() -> None:
    """While the broker takes no more, nothing is read; half of it gone, reading goes on."""
    world = World()
    world.full = lambda share: setattr(world.sink, "full", share)  # type: ignore[attr-defined]
    waits: list[int] = []
    world.look = lambda: waits.append(len(world.source.paused))  # type: ignore[attr-defined]
    world.play(
        [
            *ASSIGNED,
            [("full", 0.8)],
            [("look",), ("append", 0, ["good"]), ("full", 0.6)],
            [("look",), ("full", 0.4)],
            [],
            [("look",)],
        ]
    )
    assert waits == [2, 2, 0]
    assert values(world) == [b"good:0:0"]


def test_a_log_that_is_made_anew_ends_the_hold() -> None:
    """The client must not stay paused on a partition whose records are gone."""
    world = World()
    work = world.processor.work
    work.start()
    work.take([HERE])
    world.source.assigned[HERE] = 0
    records = run_of(HERE, [(0, Stored(b"later:0:0"))])
    assert work.admit(records) is records
    work.hold(records, Held(0, "not_yet", 100.0))
    world.steer()
    assert world.source.paused == {HERE}
    assert work.forget(HERE, "log_made_anew")
    world.steer()
    assert world.source.paused == set()
