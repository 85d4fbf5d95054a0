"""The processor's loop against a broker in memory: nothing lost, nothing twice."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lanternpipe.records import Outgoing
from tests.unit.worlds import PARTITIONS, Script, World

KINDS = st.sampled_from(
    ["good", "good", "good", "skip", "reject", "poison", "bug", "two", "later", "latest"]
)
PHASES = set(Phase) - {Phase.explain}
NUMBERS = st.integers(0, PARTITIONS - 1)


def happens(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Return something that may happen in a world."""
    return st.tuples(st.just(name), *arguments)


APPEND = happens("append", NUMBERS, st.lists(KINDS, min_size=2, max_size=6))
ASSIGN = happens("assign", NUMBERS, st.booleans())
ORDINARY = (
    APPEND,
    ASSIGN,
    happens("mark", NUMBERS),
    happens("due", st.booleans()),
    happens("revoke", NUMBERS, st.booleans()),
    happens("rival", NUMBERS, st.integers(1, 5)),
    happens("busy", st.integers(1, 3)),
    happens("quiet", st.integers(1, 2)),
    happens("again", NUMBERS, st.integers(1, 5)),
)
FAULTS = (
    happens("lose", st.booleans()),
    happens("disturb"),
    happens("crash"),
    happens("fault", st.just("send"), st.sampled_from(["abortable", "fenced"]), st.just(False)),
    *[
        happens(
            "fault",
            st.just(call),
            st.sampled_from(["retriable", "doubtful", "doubtful", "abortable", "fenced"]),
            st.booleans(),
        )
        for call in ("send_offsets", "commit", "commit", "abort")
    ],
    happens("torn_commit", st.booleans(), st.sampled_from(["abortable", "fenced"])),
    *[
        happens("fault", st.just(call), st.just("retriable"), st.just(False))
        for call in ("init", "committed", "start_at")
    ],
)
OPENING: Script = [
    [("append", 0, ["good"] * 3), ("append", 1, ["good"]), ("rival", 1, 9), ("assign", 0, False)],
    [("assign", 0, True), ("due", True)],
]


def scripts(*parts: st.SearchStrategy[tuple[Any, ...]]) -> st.SearchStrategy[Script]:
    """Return scripts that begin with records and partitions to work on."""
    turns = st.lists(st.lists(st.one_of(parts), min_size=1, max_size=4), min_size=10, max_size=25)
    return turns.map(OPENING.__add__)


@settings(max_examples=200, deadline=None, phases=PHASES)
@given(scripts(*ORDINARY, *FAULTS))
def test_exactly_once_whatever_happens(script: Script) -> None:
    """Every record is processed exactly once, in order, whatever fails in whatever order."""
    World().play(script)


REFUSALS = [
    happens("rotate"),
    happens("deny", st.booleans()),
    happens("fault", st.just("init"), st.just("retriable"), st.just(False)),
    *[
        happens("fault", st.just(call), st.just("doubtful"), st.booleans())
        for call in ("send_offsets", "commit", "abort")
    ],
    *[
        happens("fault", st.just(call), st.just("refused"), st.just(False))
        for call in ("fetch", "send", "send_offsets", "commit", "init", "rebuild", "rebuild_source")
    ],
]


@settings(max_examples=200, deadline=None, phases=PHASES)
@given(scripts(*ORDINARY, *REFUSALS, happens("disturb"), happens("lose", st.booleans())))
def test_exactly_once_whatever_is_refused(script: Script) -> None:
    """Rights and certificates come and go at any moment, and new clients may be refused as well."""
    World().play(script)


@settings(max_examples=100, deadline=None, phases=PHASES)
@given(scripts(*ORDINARY, *REFUSALS))
def test_at_least_once_whatever_is_refused(script: Script) -> None:
    """The same at least once: nothing is committed before it is written, and all is processed."""
    World(exactly_once=False).play(script)


@settings(max_examples=60, deadline=None, phases=PHASES)
@given(scripts(*ORDINARY, happens("lose", st.booleans()), happens("crash")))
def test_at_least_once_whatever_happens(script: Script) -> None:
    """At least once, nothing is committed before it is written, and all is processed."""
    World(exactly_once=False).play(script)


@settings(max_examples=30, deadline=None, phases=PHASES)
@given(scripts(*ORDINARY))
def test_refused_records_in_between(script: Script) -> None:
    """Records whose output the broker refuses end up in the dead letters; the others do not."""
    spoilt = [[("append", 0, ["good", "bad", "good"]), ("append", 2, ["bad"])]]
    World().play(script[:6] + spoilt + script[6:])


def test_work_is_undone_in_the_middle_of_a_fetch() -> None:
    """When a batch fails, runs of the same fetch that were not yet handled are read again, too."""
    world = World()
    fetch_three = [("append", number, ["good"] * 3) for number in range(PARTITIONS)]
    assign_three = [("assign", 0, False)] * PARTITIONS
    world.play([assign_three, [], [*fetch_three, ("fault", "send", "abortable", False)]])
    (undone,) = world.log.named("work_undone")
    assert undone == {"cause": "ILLEGAL_GENERATION", "records": 9}


def test_short_runs_are_sent_as_one() -> None:
    """What a fetch brings from several partitions is planned and sent at once, if nothing fails."""
    world, sent = World(), list[int]()
    send = world.sink.send

    def counted(batch: Outgoing) -> None:
        sent.append(len(batch))
        send(batch)

    world.sink.send = counted  # type: ignore[method-assign]
    fetch_three = [("append", number, ["good"] * 3) for number in range(PARTITIONS)]
    assign_three = [("assign", 0, False)] * PARTITIONS
    world.play([assign_three, [("append", 0, ["good"])], fetch_three])  # by one it learns the pace
    assert sent == [1, 3 * PARTITIONS]


def test_at_least_once_readers_see_outputs_before_they_are_committed() -> None:
    """Ages count when nothing is on its way any more; exactly once, when they are committed."""

    def seen_before_a_commit(*, exactly_once: bool) -> int:
        world, counts = World(exactly_once=exactly_once), list[int]()

        def look() -> None:
            assert world.processor.work.positions.in_flight() == 3
            counts.append(sum(world.processor.measures.read().ages["acked"].counts))

        world.look = look  # type: ignore[attr-defined]
        opening = [("assign", 0, False), ("due", False)]
        world.play([opening, [], [("append", 0, ["good"] * 3)], [("look",)]])
        return counts[0]

    assert seen_before_a_commit(exactly_once=False) == 3
    assert seen_before_a_commit(exactly_once=True) == 0


def test_the_client_is_served_while_nothing_comes() -> None:
    """A turn without records serves what the client has to tell, which would pile up."""
    world = World()
    world.play([[("assign", 0, False)], [], [("disturb",)]])
    assert not world.sink.disturbed


BROKER_AWAY = ("fault", "committed", "retriable", False)
TWO_MORE = ("append", 0, ["good"] * 2)
FAILED_COMMIT = ("fault", "commit", "abortable", False)


@pytest.mark.parametrize(
    "script",
    [
        [[TWO_MORE, BROKER_AWAY, ("fault", "send", "abortable", False)], [("quiet", 1)]],
        [
            [("due", False), TWO_MORE, BROKER_AWAY],
            [("due", True), BROKER_AWAY, FAILED_COMMIT],
            [("quiet", 1)],
        ],
        [
            [("due", False), TWO_MORE, BROKER_AWAY],
            [("revoke", 0, False), BROKER_AWAY, FAILED_COMMIT],
            [("quiet", 1), ("assign", 0, False)],
        ],
    ],
    ids=["undone at once", "undone later", "taken away and given back"],
)
def test_ends_that_could_not_be_checked_do_not_outlive_their_work(script: Script) -> None:
    """An end that was reached before work was undone is not taken for progress after it."""
    World().play([*OPENING, *script, [], []])
