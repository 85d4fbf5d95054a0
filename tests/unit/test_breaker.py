"""A flood of dead letters stops the loop, and what comes after it starts it again."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lanternpipe.errors import Reject
from lanternpipe.pipeline import Context
from lanternpipe.records import Records
from lanternpipe.runtime.breaker import PROBE_EVERY, Breaker
from lanternpipe.runtime.deadletter import Cause
from lanternpipe.runtime.plan import Plan
from lanternpipe.runtime.retry import Held
from lanternpipe.testing.fake_broker import Stored, run_of
from tests.unit.words import Word
from tests.unit.worlds import Script, World

HERE, *_ = World().partitions
WHY = Cause("invalid", "decode", "Reject")


def run(count: int, stamp: int = 1_000) -> Records:
    """Return so many records."""
    return run_of(HERE, [(at, Stored(b"v", timestamp=stamp)) for at in range(count)])


def dead(count: int) -> Plan:
    """Return a plan by which the first so many records become dead letters."""
    return Plan(causes=[(at, WHY) for at in range(count)])


def test_it_judges_by_a_whole_window() -> None:
    """A few failures at the start, however dense, are no flood."""
    breaker = Breaker(0.5, 100)
    assert breaker.trips(run(99), dead(99)) is None
    assert breaker.trips(run(1), dead(1)) is not None


def test_what_was_long_ago_does_not_count() -> None:
    """Only the last window of records is judged."""
    breaker = Breaker(0.5, 100)
    for _ in range(50):
        assert breaker.trips(run(100), dead(0)) is None
    assert breaker.trips(run(50), dead(49)) is None
    assert breaker.trips(run(50), dead(51)) is not None


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 60)), max_size=30))
def test_a_healthy_source_never_trips_it(shares: list[tuple[int, int]]) -> None:
    """While every run is below the ratio, so is every window."""
    breaker = Breaker(0.5, 100)
    for count, failed in shares:
        assert breaker.trips(run(count), dead(min(failed, (count - 1) // 2))) is None


def test_old_records_pass_unjudged() -> None:
    """A stretch that an operator has given up does not count."""
    breaker = Breaker(0.5, 100, accept_before=2_000)
    assert breaker.trips(run(500, stamp=1_999), dead(500)) is None
    assert breaker.trips(run(500, stamp=2_000), dead(500)) is not None


def test_what_waits_does_not_count() -> None:
    """Records behind one that is to be tried again have no verdict yet."""
    breaker = Breaker(0.5, 100)
    plan = Plan(held=Held(10, "geo_down", 1.0), causes=[(at, WHY) for at in range(10)])
    assert breaker.share(run(500), plan).records == 10


def test_switched_off_it_judges_nothing() -> None:
    """An operator may do without."""
    assert Breaker(0.1, 10, enabled=False).trips(run(500), dead(500)) is None


class Flooded(World):
    """A world with a breaker, in which some words fail for as long as something is sick."""

    def __init__(self, breaker: Breaker) -> None:
        self.sick = True
        self.seen: list[tuple[bool, int]] = []
        super().__init__(breaker=breaker)

    def start(self) -> None:
        """Start with a transform that can be sick."""
        inner = self.patience.transform

        def transform(word: Word, ctx: Context[Any]) -> Any:
            if self.sick and word.text.startswith("good"):
                raise Reject("sick")
            return inner(word, ctx)

        self.patience.transform = transform  # type: ignore[method-assign]
        super().start()

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.now += seconds

    def look(self) -> None:
        """Remember whether it is ready, and how much was written."""
        self.seen.append((self.health.ready().ok, len(self.broker.written)))

    def get_well(self) -> None:
        """What was sick is well again."""
        self.sick = False

    def finished(self) -> bool:
        """Tell whether all is done; time passes quickly when the script is over."""
        self.clock.now += PROBE_EVERY
        return super().finished()

    def check(self) -> None:
        """Compare nothing: what is expected depends on when it was well."""


def play(*script: list[tuple[Any, ...]], before: int = 0) -> Flooded:
    """Play a script in a world with a breaker."""
    world = Flooded(Breaker(0.5, 10, before))
    world.play([[("assign", 0, False), ("due", True)], [], *script])
    return world


MANY = ("append", 0, ["good"] * 50)


def test_a_flood_is_stopped_before_it_is_written() -> None:
    """Nothing of the plan that trips it is produced, and the process is no longer ready."""
    world = play([MANY], [], [("look",)], [("look",)], [("get_well",)])
    assert world.seen[0][0] is False
    assert world.seen[0][1] <= 10, "more than a window was written"
    assert world.seen[1] == world.seen[0], "it went on"
    (opened,) = world.log.named("breaker_opened")
    assert opened["records"] >= 10
    assert "ACCEPT_BEFORE" in opened["hint"]


def test_it_closes_when_what_comes_next_is_healthy() -> None:
    """A dry run finds the next records healthy; then all is processed, each record once."""
    world = play([MANY], [], [("get_well",)])
    assert len(world.log.named("breaker_closed")) == 1
    assert world.health.ready().ok
    assert len({each.value for each in world.broker.written}) == 50
    assert len(world.broker.written) == 50


def test_it_stays_open_while_the_flood_lasts() -> None:
    """Each dry run that finds nothing but failures leaves it open, and writes nothing."""
    waits: Script = [[("wait", 11.0), ("look",)]] * 10
    world = play([MANY], [], [("look",)], *waits, [("get_well",)])
    assert {ready for ready, _ in world.seen} == {False}
    assert len({written for _, written in world.seen}) == 1
    assert len(world.log.named("breaker_opened")) == 1


def test_a_dry_run_forgets_what_goes() -> None:
    """What another member has done with a partition meanwhile is not done again."""
    world = Flooded(Breaker(0.5, 30))
    world.play(
        [
            [("assign", 0, False), ("due", True)],
            [],
            [MANY],
            *([[]] * 5),
            [("wait", PROBE_EVERY)],
            [],
            [("revoke", 0, False)],
            [("rival", 0, 20), ("assign", 0, False), ("get_well",)],
        ]
    )
    assert world.log.named("breaker_closed")
    assert len(world.broker.written) == len({each.value for each in world.broker.written}) == 50


def test_a_dry_run_survives_a_rebalance() -> None:
    """Partitions that go in the midst of it take what was read of them along, and lose nothing."""
    world = play(
        [MANY, ("append", 1, ["good"] * 8)],
        [],
        [("wait", PROBE_EVERY)],
        [("assign", 0, True)],
        [("revoke", 0, True)],
        [("get_well",)],
        [("assign", 0, False)],
    )
    assert len({each.value for each in world.broker.written}) == 58
    assert len(world.broker.written) == 58


def test_what_comes_before_it_can_stop_is_read_again() -> None:
    """In a rebalance the client cannot be paused; what it hands out then is not passed over."""
    world = play(
        [("assign", 0, False)],
        [],
        [MANY],
        [("busy", 12), ("append", 1, ["good"] * 8)],
        *([[]] * 6),
        [("get_well",)],
    )
    assert world.log.named("breaker_opened")
    assert len({each.value for each in world.broker.written}) == 58
    assert len(world.broker.written) == 58


def test_an_operator_lets_a_stretch_through() -> None:
    """Records older than a time become dead letters, however many."""
    world = play([MANY], [], [], before=2_000)
    assert not world.log.named("breaker_opened")
    assert {each.topic for each in world.broker.written} == {"words.dlq"}
