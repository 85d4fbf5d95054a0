"""Replaying letters: each exactly once, whatever fails and however often it is run again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanternpipe.errors import (
    AbortableFailure,
    FatalFailure,
    FencedFailure,
    KafkaFailure,
    LanternpipeError,
    RetriableFailure,
)
from lanternpipe.letter import Letter
from lanternpipe.ops.mailbox import Filters, Mailbox
from lanternpipe.ops.mending import Mend, load_mend
from lanternpipe.ops.replay import Replayer, Tally
from lanternpipe.ops.replay_plan import Order
from lanternpipe.records import Records, TopicPartition
from lanternpipe.testing.doubles import LogBook
from lanternpipe.testing.fake_broker import FakeBroker, Stored, Written, run_of
from lanternpipe.testing.fake_sink import FakeSink
from tests.letters import LetterKind, envelope

LETTERS = TopicPartition("in.dlq", 0)
MARKS = TopicPartition("in.dlq.marks", 0)
BACK = "in.replay"
FAILURES: dict[str, Callable[[], KafkaFailure]] = {
    "retriable": lambda: RetriableFailure("COORDINATOR_LOAD_IN_PROGRESS", "asking"),
    "doubtful": lambda: RetriableFailure("_TIMED_OUT", "asking", indefinite=True),
    "abortable": lambda: AbortableFailure("CONCURRENT_TRANSACTIONS", "asking"),
    "fenced": lambda: FencedFailure("PRODUCER_FENCED", "asking"),
    "fatal": lambda: FatalFailure("_FATAL", "asking"),
}


class Shelf:
    """Letters, and marks as they are on the fake broker."""

    def __init__(self, broker: FakeBroker, letters: int | list[LetterKind]) -> None:
        kinds = [LetterKind()] * letters if isinstance(letters, int) else letters
        made = [envelope("in", number, kind) for number, kind in enumerate(kinds)]
        self.letters = [Stored(value, key, 1_000, told) for key, value, told in made]
        self.grows = False
        self._broker = broker

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Return the only partition."""
        return [TopicPartition(topic, 0)]

    def first(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Nothing has been deleted."""
        return dict.fromkeys(partitions, 0)

    def last_stable(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return how many there are."""
        return {at: len(self._content(at)) for at in partitions}

    def at_time(
        self, partitions: Iterable[TopicPartition], milliseconds: int
    ) -> dict[TopicPartition, int]:
        """All have one time."""
        return self.first(partitions) if milliseconds <= 1_000 else self.last_stable(partitions)

    def read(self, stretches: Mapping[TopicPartition, range]) -> Generator[Records, None, None]:
        """Read one by one."""
        for at, stretch in stretches.items():
            for offset in stretch:
                if self.grows and at == LETTERS:
                    self.letters.append(self.letters[0])
                yield run_of(at, [(offset, self._content(at)[offset])])

    def _content(self, at: TopicPartition) -> list[Stored]:
        if at == LETTERS:
            return self.letters
        return [Stored(each.value, each.key) for each in self._broker.written if each[0] == at[0]]


class Bench:
    """A replayer with the fakes around it."""

    def __init__(self, letters: int | list[LetterKind]) -> None:
        self.broker = FakeBroker({})
        self.shelf = Shelf(self.broker, letters)
        self.log = LogBook()
        self.slept: list[float] = []
        self._ticks = count()

    def replay(self, mend: Mend | None = None, **asked: Any) -> Tally:
        """Run once, with a producer of its own."""
        order = Order(BACK, **asked)
        self.sink = FakeSink(self.broker)
        return Replayer(
            Mailbox(self.shelf, LETTERS.topic, MARKS.topic),
            MARKS.topic,
            None if order.dry else self.sink,
            order,
            run="r",
            log=self.log,
            mend=mend,
            now=lambda: 5.0,
            clock=lambda: next(self._ticks) / 1_000,
            sleep=self.slept.append,
        ).run()

    def to(self, topic: str) -> list[Written]:
        """Return what has been written to a topic."""
        return [each for each in self.broker.written if each.topic == topic]

    def keys(self) -> Counter[bytes | None]:
        """Return how often each key has been replayed."""
        return Counter(each.key for each in self.to(BACK))


def named(number: int) -> list[LetterKind]:
    """Return letters that can be told apart by their keys."""
    return [LetterKind(key=b"%d" % each) for each in range(number)]


@settings(deadline=None)
@given(
    st.integers(0, 9),
    st.integers(1, 4),
    st.lists(
        st.tuples(
            st.sampled_from(["init", "begin", "send", "commit", "abort", "flush"]),
            st.sampled_from(sorted(FAILURES)),
            st.booleans(),
        ),
        max_size=8,
    ),
)
def test_each_letter_is_replayed_once_whatever_fails(
    letters: int, batch: int, faults: list[tuple[str, str, bool]]
) -> None:
    """However calls fail, runs that are repeated until one ends well replay each letter once."""
    bench = Bench(named(letters))
    for call, kind, applied in faults:
        # What was begun or sent and then failed is undone; only of a commit may nobody know.
        carried_out = applied and call == "commit" and kind != "abortable"
        bench.broker.fail(call, FAILURES[kind](), applied=carried_out)
    for _ in range(len(faults) + 1):
        with suppress(KafkaFailure):
            bench.replay(batch=batch)
            break
    else:
        pytest.fail("no run ends well")
    assert bench.keys() == {b"%d" % each: 1 for each in range(letters)}
    assert [mark.key for mark in bench.to(MARKS.topic)] == [
        b"in.dlq/0/%d" % each for each in range(letters)
    ]


def test_a_letter_and_its_mark_are_one_transaction() -> None:
    """As many transactions as batches; each holds letters and their marks."""
    bench = Bench(5)
    assert bench.replay(batch=2).replayed == 5
    assert bench.broker.begun == 3
    topics = [each.topic for each in bench.broker.written]
    assert topics == [BACK, BACK, MARKS.topic, MARKS.topic] * 2 + [BACK, MARKS.topic]
    assert json.loads(bench.to(MARKS.topic)[0].value or b"") == {
        "at": 5_000,
        "to": BACK,
        "run": "r",
        "replays": 1,
        "letter": 1_000,
    }


def test_marks_are_read_when_nobody_else_can_write_them() -> None:
    """The transactional id is taken over before anything is read."""
    bench = Bench(1)
    bench.broker.fail("init", FAILURES["fatal"]())
    bench.shelf.partitions = None  # type: ignore[assignment,method-assign]
    with pytest.raises(FatalFailure):
        bench.replay()


def test_letters_that_come_meanwhile_are_left() -> None:
    """A run ends where the letters ended when it began, or one that fails again would never."""
    bench = Bench(3)
    bench.shelf.grows = True
    assert bench.replay(batch=1).replayed == 3


def test_a_second_run_skips_what_the_first_has_done() -> None:
    """Marked letters are skipped, but for --again, which counts on until the guard stops it."""
    bench = Bench(named(2))
    assert bench.replay(most=1).replayed == 1
    second = bench.replay()
    assert (second.replayed, second.skipped) == (1, {"replayed before": 1})
    assert [bench.replay(again=True).replayed for _ in range(3)] == [2, 2, 0]
    assert bench.keys() == {b"0": 3, b"1": 3}


def test_a_dry_run_writes_nothing_and_fences_nobody() -> None:
    """A dry run counts as a real one would, without a producer."""
    bench = Bench(4)
    tally = bench.replay(dry=True)
    assert tally.replayed == 4
    assert tally.as_json(dry=True) == {
        "replayed": 0,
        "would_replay": 4,
        "skipped": 0,
        "skipped_by_reason": {},
        "seconds": tally.seconds,
    }
    assert [*tally.lines(BACK, dry=True)] == ["4 letters would be replayed to in.replay"]
    assert bench.broker.calls == []


def test_a_rate_is_kept() -> None:
    """With a rate, letters go in small spurts, and each waits until it is due."""
    bench = Bench(20)
    bench.replay(rate=10.0)
    assert bench.broker.begun == 10
    assert len(bench.slept) == 9
    assert bench.slept == pytest.approx([0.2 * turn for turn in range(1, 10)], abs=0.1)


@pytest.mark.parametrize(
    ("kind", "expected", "says"),
    [
        ("fenced", FatalFailure, "another `dlq replay` of the same group has begun"),
        ("abortable", AbortableFailure, "Run the same command again"),
        ("fatal", AbortableFailure, "Run the same command again"),
    ],
)
def test_trouble_ends_a_run_with_what_to_do(
    kind: str, expected: type[KafkaFailure], says: str
) -> None:
    """A run that cannot go on says why, and that nothing is lost; its audit line says so, too."""
    bench = Bench(2)
    bench.broker.fail("commit", FAILURES[kind]())
    with pytest.raises(expected, match=says):
        bench.replay()
    assert bench.broker.written == []
    (line,) = bench.log.named("letters_replayed")
    assert (line["outcome"], line["replayed"]) == ("failed", 0)


def test_a_lost_connection_ends_a_run_before_the_next_transaction() -> None:
    """After a commit in doubt nothing more is written by this producer; what is written counts."""
    bench = Bench(3)
    bench.broker.fail("commit", FAILURES["doubtful"](), applied=True)
    with pytest.raises(AbortableFailure, match="lost during a commit, which has been carried out"):
        bench.replay(batch=2)
    assert len(bench.to(BACK)) == 2
    assert bench.log.named("letters_replayed")[0]["replayed"] == 2


def test_a_record_that_the_broker_refuses_is_told() -> None:
    """The places of those among which it is are told, and none of them is written."""
    bench = Bench(named(3))
    bench.broker.refuses = lambda each: each.key == b"1"
    with pytest.raises(FatalFailure, match=r"from in\.dlq/0/0 to in\.dlq/0/2; none of them"):
        bench.replay()
    assert bench.broker.written == []


def test_an_interrupt_undoes_the_open_transaction() -> None:
    """Ctrl-C in the middle of a transaction leaves nothing open."""
    bench = Bench(1)
    bench.broker.fail("commit", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        bench.replay()
    assert bench.broker.calls[-1] == "abort"


def test_the_audit_line_tells_who_was_meant() -> None:
    """One line a run: filters without the key itself, options and counts."""
    bench = Bench([LetterKind(reason="bug", key=b"alice"), LetterKind(key=b"alice")])
    bench.replay(filters=Filters(frozenset({"bug"}), b"alice", since=0, until=2_000))
    ((level, event, line),) = bench.log.lines
    assert (level, event) == ("info", "letters_replayed")
    assert line["filters"] == (
        "reason=bug key=(given) since=1970-01-01T00:00:00.000Z until=1970-01-01T00:00:02.000Z"
    )
    assert (line["letters"], line["to"], line["run"]) == ("in.dlq", BACK, "r")
    assert (line["outcome"], line["replayed"], line["skipped"]) == ("finished", 1, 0)


def test_mending() -> None:
    """What a function returns is sent, None leaves a letter alone, as it was."""
    bench = Bench(named(2))
    tally = bench.replay(mend=lambda letter: None if letter.key == b"0" else b"mended")
    assert tally.skipped == {"left alone by --mend": 1}
    assert [(each.key, each.value) for each in bench.to(BACK)] == [(b"1", b"mended")]


def broken(letter: Letter) -> bytes:
    """Raise what holds a value."""
    raise ValueError(letter.value)


@pytest.mark.parametrize(
    ("mend", "says"),
    [
        (broken, r"--mend: ValueError at .*test_replay.py:\d+ for in.dlq/0/0"),
        (lambda _: "text", "--mend: returned str for in.dlq/0/0"),
    ],
)
def test_a_function_that_fails_ends_the_run(mend: Any, says: str) -> None:
    """The letter is named, its content is not, and nothing of the batch is published."""
    bench = Bench(named(2))
    with pytest.raises(LanternpipeError, match=says) as caught:
        bench.replay(mend=mend)
    assert "user_id" not in str(caught.value)
    assert bench.broker.written == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere:mend", "No module named 'nowhere'"),
        ("json:nothing", "has no attribute 'nothing'"),
        ("json", "give MODULE:FUNCTION"),
        (":mend", "give MODULE:FUNCTION"),
        ("json:__name__", "is no function"),
    ],
)
def test_a_function_that_is_not_there(name: str, says: str) -> None:
    """What is no function is refused before anything is read."""
    with pytest.raises(LanternpipeError, match=says):
        load_mend(name)
    assert load_mend("json:loads").__name__ == "loads"
