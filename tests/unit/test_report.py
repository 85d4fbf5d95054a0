"""What the loop says in its log: failures by kind, and a summary now and then."""

from __future__ import annotations

from lanternpipe.records import TopicPartition
from lanternpipe.runtime.deadletter import Cause
from lanternpipe.runtime.outcomes import Outcomes
from lanternpipe.runtime.report import DEAD_LETTERS_EVERY, SUMMARY_EVERY, Report
from lanternpipe.testing.doubles import Clock, LogBook

SOURCE = TopicPartition("in", 0)
INVALID = Cause("invalid", "decode", "Reject", "ip", "required")
BUG = Cause("bug", "transform", "KeyError", frames=("a.py:1:f",), text="s3cret")


class Bench:
    """A report with a clock of its own."""

    def __init__(self) -> None:
        self.clock, self.log, self.outcomes = Clock(), LogBook(), Outcomes()
        self.report = Report(self.log, self.clock)

    def tell(self, seconds: float) -> None:
        """Let time go by and ask for what is due."""
        self.clock.now += seconds
        self.report.tell(self.outcomes, lambda: 3)

    @property
    def letters(self) -> list[tuple[str, int]]:
        """Return kind and number of all dead letters that were told."""
        return [(line["kind"], line["records"]) for line in self.log.named("records_dead_lettered")]


def test_one_line_for_each_kind() -> None:
    """Dead letters of one kind share a line, with their number and the first as an example."""
    bench = Bench()
    bench.report.note(SOURCE, [(7, INVALID), (8, BUG), (9, INVALID)])
    bench.report.commit()
    bench.tell(DEAD_LETTERS_EVERY)
    assert bench.letters == [("invalid", 2), ("bug", 1)]
    first = bench.log.named("records_dead_lettered")[0]
    assert (first["first"], first["field"], first["limit"]) == ("in/0/7", "ip", "required")


def test_a_bug_is_an_error_and_the_rest_a_warning() -> None:
    """A bug in the transform is loud and has its frames; no line has the exception's text."""
    bench = Bench()
    bench.report.note(SOURCE, [(1, BUG), (2, INVALID)])
    bench.report.commit()
    bench.report.tell_dead_letters()
    assert [level for level, _, _ in bench.log.lines] == ["error", "warning"]
    assert bench.log.lines[0][2]["frames"] == ["a.py:1:f"]
    assert "s3cret" not in str(bench.log.lines)


def test_only_what_is_committed_is_told() -> None:
    """Dead letters of undone work come again, so they are told when they are final."""
    bench = Bench()
    bench.report.note(SOURCE, [(1, INVALID)])
    bench.tell(DEAD_LETTERS_EVERY)
    bench.report.abandon()
    bench.report.note(SOURCE, [(1, INVALID)])
    bench.report.commit()
    bench.tell(DEAD_LETTERS_EVERY)
    assert bench.letters == [("invalid", 1)]


def test_lines_are_limited_in_time() -> None:
    """However many letters there are, there is one line a kind and second, and none is lost."""
    bench = Bench()
    for offset in range(100):
        bench.report.note(SOURCE, [(offset, INVALID)])
        bench.report.commit()
        bench.tell(DEAD_LETTERS_EVERY / 10)
    bench.report.tell_dead_letters()
    assert 10 <= len(bench.letters) <= 11
    assert sum(records for _, records in bench.letters) == 100


def test_a_summary_now_and_then() -> None:
    """Every ten seconds with work the ledger is told."""
    bench = Bench()
    bench.outcomes.consumed = 10
    bench.outcomes.counted.update(
        {("processed", ""): 4, ("filtered", "a"): 1, ("filtered", "b"): 2}
    )
    bench.tell(SUMMARY_EVERY - 1)
    assert bench.log.lines == []
    bench.tell(1)
    assert bench.log.named("progress") == [
        {
            "consumed": 10,
            "in_flight": 3,
            "processed": 4,
            "filtered": 3,
            "retried": 0,
            "dead_lettered": 0,
            "duplicate": 0,
            "abandoned": 0,
        }
    ]


def test_silence_says_that_nothing_happens() -> None:
    """Without new records there is no summary."""
    bench = Bench()
    bench.outcomes.consumed = 10
    for _ in range(5):
        bench.tell(SUMMARY_EVERY)
    assert len(bench.log.lines) == 1
