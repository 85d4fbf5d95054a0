"""The witness of a group's lag: what it keeps telling, and for how long."""

from __future__ import annotations

from typing import Any

from lanternpipe.errors import KafkaFailure, RetriableFailure, TopicError
from lanternpipe.kafka.groups import Members
from lanternpipe.ops.outside import Look
from lanternpipe.runtime.health import Health
from lanternpipe.testing.doubles import Clock
from lanternpipe.witness import GRACE_SECONDS, MISSED_LOOKS, Witness

EVERY = 5.0
ANSWERED, MEMBERS = "pipeline_group_answered_timestamp_seconds", "pipeline_group_members"


class Bench:
    """A witness with a clock of its own, and a broker that may be away."""

    def __init__(self) -> None:
        self.clock = Clock(1_000.0)
        self.trouble: KafkaFailure | TopicError | None = None
        self.said: list[str] = []
        self.health = Health(stuck_after=60.0, log=self.log, clock=self.clock)
        self.witness = Witness(self.look, self.health, every=EVERY, clock=self.clock)

    def log(self, level: str, event: str, **fields: Any) -> None:
        """Keep what is said."""
        self.said.append(event)

    def look(self) -> Look:
        """Answer, or fail."""
        if self.trouble is not None:
            raise self.trouble
        return Look([], Members(3, frozenset()), {}, self.clock.now)

    def told(self) -> dict[str, object]:
        """Return what is told now, by the names of the metrics."""
        return {each.metric.name: each.value for each in self.witness.seen("g")}


def test_nothing_is_told_before_the_first_answer() -> None:
    """Without an answer there are no numbers, and the witness is not ready."""
    bench = Bench()
    bench.trouble = RetriableFailure("_TRANSPORT", "asking")
    bench.witness.refresh()
    assert bench.told() == {}
    assert not bench.health.ready().ok
    bench.trouble = None
    bench.witness.refresh()
    assert bench.told() == {ANSWERED: 1_000.0, MEMBERS: 3}
    assert bench.health.ready().ok


def test_old_numbers_are_not_told() -> None:
    """While the broker is away the last look counts for a while; then only its age is told."""
    bench = Bench()
    bench.witness.refresh()
    bench.trouble = RetriableFailure("_TRANSPORT", "asking")
    bench.clock.now += MISSED_LOOKS * EVERY + GRACE_SECONDS
    bench.witness.refresh()
    bench.witness.refresh()
    assert bench.told() == {ANSWERED: 1_000.0, MEMBERS: 3}
    bench.clock.now += 0.1
    assert bench.told() == {ANSWERED: 1_000.0}
    assert bench.health.ready().reason.startswith("no answer: ")
    assert bench.health.live().ok
    bench.trouble = None
    bench.witness.refresh()
    assert bench.told() == {ANSWERED: bench.clock.now, MEMBERS: 3}
    assert bench.health.ready().ok
    assert bench.said == ["waiting_for_broker", "broker_is_back"]


def test_a_missing_topic_is_the_reason() -> None:
    """A topic that does not exist makes it unready with that reason, and may come later."""
    bench = Bench()
    bench.trouble = TopicError("in does not exist")
    bench.witness.refresh()
    bench.health.joined()
    assert bench.health.ready().reason == "in does not exist"
    bench.trouble = None
    bench.witness.refresh()
    assert bench.health.ready().ok
