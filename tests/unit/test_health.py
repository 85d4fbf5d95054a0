"""Whether the process lives and is ready."""

from __future__ import annotations

import pytest

from lanternpipe.runtime.health import ANSWER_COUNTS_AFTER, Health
from lanternpipe.testing.doubles import Clock, LogBook


class Bench:
    """Health with a clock of its own."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.log = LogBook()
        self.health = Health(stuck_after=10.0, log=self.log, clock=self.clock)

    @property
    def events(self) -> list[str]:
        """Return the names of all log lines."""
        return [event for _, event, _ in self.log.lines]


def test_lives_while_the_loop_moves() -> None:
    """A loop that makes its turns is alive, however long the process has been running."""
    bench = Bench()
    for _ in range(100):
        bench.clock.now += 9
        bench.health.beat()
    assert bench.health.live().ok


def test_is_dead_when_the_loop_stands_still() -> None:
    """Without a turn for too long a restart would help, and the reason says for how long."""
    bench = Bench()
    bench.clock.now = 10.0
    assert bench.health.live().ok
    bench.clock.now = 11.0
    assert bench.health.live() == (False, "the loop has not moved for 11 s")


def test_waiting_counts_as_moving() -> None:
    """A restart would not bring the broker back, so waiting for it is no reason for one."""
    bench = Bench()
    for _ in range(100):
        bench.clock.now += 9
        bench.health.wait("_TRANSPORT")
    assert bench.health.live().ok


def test_is_ready_after_the_first_assignment() -> None:
    """Ready means having joined, and a broker that goes away later does not unset it."""
    bench = Bench()
    assert bench.health.ready() == (False, "has not joined the group yet")
    bench.health.joined()
    bench.health.wait("_TRANSPORT")
    bench.clock.now += 1_000
    assert bench.health.ready().ok


@pytest.mark.parametrize("joined", [False, True])
def test_is_not_ready_while_stopping(joined: bool) -> None:
    """A process that has been asked to stop gets no more work, but lives."""
    bench = Bench()
    if joined:
        bench.health.joined()
    bench.health.stopping()
    assert bench.health.ready() == (False, "stopping")
    assert bench.health.live().ok


def test_a_fatal_error_is_told_before_all() -> None:
    """A process that is about to end is not ready, and says why."""
    bench = Bench()
    bench.health.joined()
    bench.health.stopping()
    bench.health.fatal("the disk is on fire")
    assert bench.health.ready() == (False, "the disk is on fire")


def test_a_wait_is_said_once_and_its_end_once() -> None:
    """However long something is away, there is one line when it goes and one when it is back."""
    bench = Bench()
    bench.health.flows()
    for _ in range(5):
        bench.health.wait("_TRANSPORT")
        bench.clock.now += 2
    bench.health.flows()
    bench.health.flows()
    assert bench.events == ["waiting_for_broker", "broker_is_back"]
    assert bench.log.named("broker_is_back") == [{"after_seconds": 10}]


def test_an_answer_beside_the_flow_ends_only_an_old_wait() -> None:
    """One broker may answer while another is still away: only silence of the wait counts."""
    bench = Bench()
    bench.clock.now = 100.0
    bench.health.wait("_TRANSPORT")
    bench.clock.now += ANSWER_COUNTS_AFTER
    bench.health.answered()
    assert bench.events == ["waiting_for_broker"]
    bench.clock.now += 1
    bench.health.answered()
    assert bench.events == ["waiting_for_broker", "broker_is_back"]


def test_a_refusal_is_said_once_and_its_end_once() -> None:
    """While it lasts the process is not ready, with the reason; a commit ends it."""
    bench = Bench()
    bench.health.joined()
    for _ in range(5):
        bench.health.refused("TOPIC_AUTHORIZATION_FAILED", "may not write")
        bench.clock.now += 1.0
    assert bench.health.ready() == (False, "refused: may not write")
    assert bench.health.denied
    assert bench.health.hopeless() is None
    bench.health.flows()
    assert bench.health.ready().ok
    assert bench.events == ["access_refused", "access_granted"]


def test_a_login_that_succeeds_at_once_again_was_not_refused() -> None:
    """A client that renews its login may be refused once; it has to be told again to count."""
    bench = Bench()
    bench.health.joined()
    bench.health.refused("_AUTHENTICATION", "wrong state")
    bench.clock.now += 0.1
    bench.health.flows()
    assert bench.health.ready().ok
    assert bench.events == []
    bench.health.refused("_AUTHENTICATION", "wrong state")
    bench.clock.now += 1.0
    bench.health.beat()
    assert bench.health.ready().ok
    bench.health.refused("_AUTHENTICATION", "wrong state")
    assert not bench.health.ready().ok
    assert bench.events == ["access_refused"]


@pytest.mark.parametrize(
    ("code", "ended"),
    [("_AUTHENTICATION", True), ("_TLS", True), ("TOPIC_AUTHORIZATION_FAILED", False)],
)
def test_who_has_been_let_in_was_not_refused_the_door(code: str, ended: bool) -> None:
    """A client that gets in ends what was said of logins and certificates, and not of rights."""
    bench = Bench()
    for _ in range(2):
        bench.health.refused(code, "no")
        bench.clock.now += 2.0
    assert bench.health.denied
    bench.health.let_in()
    assert bench.health.denied is not ended
    bench.clock.now += 20.0
    assert (bench.health.hopeless() is None) is ended


def test_who_was_never_let_in_gives_up() -> None:
    """After a while there is no sense in waiting, unless it has worked before."""
    bench = Bench()
    bench.health.refused("_AUTHENTICATION", "wrong password")
    bench.clock.now += 5
    bench.health.refused("_AUTHENTICATION", "wrong password")
    assert bench.health.hopeless() is None
    bench.clock.now += 6
    assert bench.health.hopeless() == ("_AUTHENTICATION", "wrong password")
    bench.health.joined()
    assert bench.health.hopeless() is None
