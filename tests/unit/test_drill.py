"""The drill: what a user's test sees of good, poison, retries and everything that goes wrong."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from lanternpipe import Context, Pipeline, RawRecord, Retry
from lanternpipe.testing import Drill, DrillError
from lanternpipe.testing.mishaps import CrashPoint
from tests.unit.notes import AUDITS, PIPELINE, Audit, Heard, Note, busy_drill, drill_of

NOW = 1_700_000_000
DELIVERIES = ("exactly-once", "at-least-once")


def away(seconds: float) -> Pipeline[Note, Heard]:
    """Return a pipeline for which it is too early, for so long, for notes that begin so."""

    def transform(note: Note, ctx: Context[Any]) -> Heard:
        if note.text.startswith("later") and ctx.now < NOW + seconds:
            raise Retry("away")
        return Heard(note.user, note.text, ctx.now)

    return replace(PIPELINE, transform=transform)


def texts(drill: Drill[Note, Heard]) -> list[str]:
    """Return the texts of what came out."""
    return [each.text for each in drill.outputs]


def test_events_come_out_typed_and_at_the_time_of_the_drill() -> None:
    """An output is an event again; the clock stands still while there is work."""
    drill = drill_of("say a", now=NOW)
    drill.run()
    assert drill.outputs == [Heard("ann", "say a", NOW)]
    assert drill.clock() == NOW


def test_every_fate_is_told() -> None:
    """What was processed, filtered and given up is told by record and in sum."""
    drill = drill_of("say", "skip", "old", "skip", "reject", "bug", "none", "two")
    poison = drill.send(value=b"{")
    tombstone = drill.send(key=b"ann")
    drill.run()
    assert drill.filtered == {"unwanted": 2, "old": 1, "no_output": 1}
    assert {letter.reason for letter in drill.dead_letters} == {
        *("refused", "bug", "undecodable", "tombstone")
    }
    assert drill.fates[poison] == ("dead_lettered", "undecodable")
    assert drill.fates[tombstone] == ("dead_lettered", "tombstone")
    assert drill.outputs_to(AUDITS) == [Audit("two")]
    assert drill.outcomes["processed", ""] == 2


def test_a_letter_tells_what_it_tells_in_production() -> None:
    """A dead letter has the record untouched, and says where it came from and what was wrong."""
    drill = Drill(PIPELINE, now=NOW)
    place = drill.send(key=b"ann", value=b'{"user": "ann"}', headers=[("trace", b"1")])
    drill.run()
    (letter,) = drill.dead_letters
    assert (letter.reason, letter.stage, letter.field) == ("invalid", "decode", "text")
    assert (letter.key, letter.value, letter.origin) == (b"ann", b'{"user": "ann"}', place)
    assert letter.headers["trace"] == b"1"
    assert letter.timestamp == NOW * 1_000
    assert not [name for name in letter.headers if "drill" in name]


def test_what_the_drill_adds_is_not_seen() -> None:
    """Records come out with the headers, key and time with which they went in."""
    drill = Drill(PIPELINE)
    drill.send(Note("ann", "say a"), headers=[("trace", b"1")], timestamp=7)
    drill.send(Note("ann", "say b"), timestamp=8)
    drill.run()
    found = [(each.key, each.timestamp, each.headers) for each in drill.records("heard")]
    assert found == [(b"ann", 7, [("trace", b"1")]), (b"ann", 8, None)]


def test_samples_can_be_sent() -> None:
    """A raw record, as samples yield for poison, is sent as it is."""
    drill = Drill(PIPELINE)
    drill.send(RawRecord(b"k", b"no json"))
    drill.run()
    assert [(each.key, each.value) for each in drill.dead_letters] == [(b"k", b"no json")]


def test_records_of_a_key_share_a_partition() -> None:
    """The key decides about the partition, and the test may."""
    drill = Drill(PIPELINE, partitions=4)
    assert len({drill.send(Note("ann", "say")).partition for _ in range(9)}) == 1
    assert {drill.send(value=b"x").partition for _ in range(8)} == {0, 1, 2, 3}
    assert drill.send(Note("ann", "say"), partition=2).partition == 2
    with pytest.raises(ValueError, match="notes has the partitions 0 to 3, not 4"):
        drill.send(Note("ann", "say"), partition=4)


class Limits(BaseModel):
    """Settings of a user."""

    most: int = 3


def test_settings_are_the_users_own() -> None:
    """Settings are given by name or as an object; the environment is not read."""

    def transform(note: Note, ctx: Context[Limits]) -> Heard:
        return Heard(note.user, note.text, ctx.settings.most)

    pipeline = replace(PIPELINE, transform=transform, settings=Limits)
    for given, expected in [(None, 3), ({"most": 5}, 5), (Limits(most=7), 7)]:
        drill = Drill(pipeline, settings=given)
        drill.send(Note("ann", "say"))
        drill.run()
        assert drill.outputs[0].at == expected


def test_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set on the machine of whoever runs the test changes nothing."""
    monkeypatch.setenv("PIPELINE_TOPICS__OUTPUT", "elsewhere")
    monkeypatch.setenv("PIPELINE_DELIVERY", "at-least-once")
    drill = drill_of("say")
    drill.crash("before_commit")
    drill.run()
    assert len(drill.records("heard")) == 1


# Retries.


def test_a_held_record_is_tried_until_it_goes_through() -> None:
    """While a dependency is away the clock jumps, and order is kept."""
    drill = Drill(away(2), now=NOW)
    for text in ("say a", "later b", "say c"):
        drill.send(Note("ann", text))
    drill.run()
    assert texts(drill) == ["say a", "later b", "say c"]
    assert drill.retried["away"] >= 3
    assert NOW + 2 <= drill.clock() < NOW + 5


def test_an_outage_of_minutes_takes_no_time() -> None:
    """Attempts of up to half a minute each are waited for by the drill's clock alone."""
    drill = Drill(away(600), now=NOW)
    drill.send(Note("ann", "later"))
    drill.run()
    assert drill.outputs[0].at == int(drill.clock())
    assert NOW + 600 <= drill.clock() <= NOW + 631


def test_a_record_that_fails_alone_is_given_up() -> None:
    """After the attempts that the settings allow, a record becomes a dead letter."""
    drill = Drill(away(math.inf), runtime={"retry": {"max_attempts": 3}})
    for text in ("say a", "later b", "say c"):
        drill.send(Note("ann", text))
    drill.run()
    assert [(each.reason, each.attempt) for each in drill.dead_letters] == [
        ("retries_exhausted", 3)
    ]
    assert texts(drill) == ["say a", "say c"]


def test_retry_topics_are_gone_through() -> None:
    """With retry topics a record waits in each in turn, and others overtake it."""
    drill = Drill(
        away(20), now=NOW, runtime={"retry": {"mode": "topics", "tiers": ("5s", "1m", "10m")}}
    )
    place = drill.send(Note("ann", "later a"))
    drill.send(Note("ann", "say b"))
    drill.run()
    assert texts(drill) == ["say b", "later a"]
    assert drill.fates[place] == ("retried", "away")
    assert NOW + 65 <= drill.clock() <= NOW + 70
    assert [len(drill.records(f"notes.retry.{tier}")) for tier in ("5s", "1m", "10m")] == [1, 1, 0]


def test_what_never_goes_through_is_told() -> None:
    """A record that waits for ever fails the drill, which names it."""
    drill = drill_of("say", "never")
    with pytest.raises(DrillError, match=r"not processed within 60 s: notes/\d/1"):
        drill.run(within=60)


# What goes wrong.


@pytest.mark.parametrize("at", get_args(CrashPoint))
def test_a_crash_loses_and_repeats_nothing(at: CrashPoint) -> None:
    """Wherever the process dies, the next one goes on where the broker stands."""
    drill = drill_of("say a", "skip", "reject", "say b")
    drill.crash(at)
    drill.run()
    assert texts(drill) == ["say a", "say b"]
    assert drill.filtered == {"unwanted": 1}
    assert len(drill.dead_letters) == 1


def test_at_least_once_repeats_after_a_crash() -> None:
    """Without transactions, what was sent before a crash is there twice, and that is no anomaly."""
    drill = drill_of("say a", delivery="at-least-once")
    drill.crash("before_commit")
    drill.run()
    assert texts(drill) == ["say a", "say a"]


@pytest.mark.parametrize("lost", [False, True], ids=["revoked", "lost"])
@pytest.mark.parametrize("seed", range(8))
def test_a_rebalance_loses_and_repeats_nothing(*, lost: bool, seed: int) -> None:
    """Partitions that go in the midst of work are gone on with where the group stands."""
    drill = busy_drill(seed=seed, runtime={"batch_records": 4})
    drill.turn(3)
    drill.rebalance(lost=lost)
    drill.run()
    assert drill.log.named("partitions_lost" if lost else "partitions_revoked")
    assert len(drill.outputs) == sum(fate == ("processed", "") for fate in drill.fates.values())


def test_what_is_delivered_twice_is_dropped() -> None:
    """Records that the client hands out once more are counted as duplicates, and not written."""
    drill = drill_of("say a", "say b", "say c")
    drill.duplicate(2)
    drill.run()
    assert texts(drill) == ["say a", "say b", "say c"]
    assert drill.outcomes["duplicate", ""] == 2


def test_a_refused_output_becomes_a_dead_letter() -> None:
    """An output that the broker refuses costs only its own record."""
    drill = drill_of(*(f"say {number}" for number in range(9)))
    drill.refuse(lambda heard: heard.text == "say 4")
    drill.run()
    assert [letter.reason for letter in drill.dead_letters] == ["unproducible"]
    assert texts(drill) == [f"say {number}" for number in range(9) if number != 4]


def test_a_stop_finishes_the_work() -> None:
    """A process that is stopped commits; the next one has only what is new."""
    drill = drill_of("say a")
    drill.turn(2)
    drill.stop()
    drill.send(Note("ann", "say b"))
    drill.run()
    assert texts(drill) == ["say a", "say b"]
    assert not [name for name, _ in drill.outcomes if name == "abandoned"]


def test_what_never_happened_fails_the_drill() -> None:
    """A mishap that found nothing to hit is told, or the test would prove nothing."""
    drill = drill_of("skip")
    drill.crash("before_send")
    with pytest.raises(DrillError, match=r"never happened: CrashError\('before_send'\)"):
        drill.run()
    drill = drill_of("say a")
    drill.refuse(lambda heard: heard.text == "say b")
    with pytest.raises(DrillError, match=r"never happened: refuse\(\.\.\.\)"):
        drill.run()


# Storms.


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("mode", ["hold", "topics"])
def test_storms_lose_and_repeat_nothing(delivery: Any, mode: str) -> None:
    """Whatever goes wrong in whatever order, each record has one fate."""
    for seed in range(60):
        drill = busy_drill(delivery=delivery, runtime={"retry": {"mode": mode}})
        drill.storm(seed)
        assert sum(place.topic == "notes" for place in drill.fates) == 40
        assert sum(outcome == "dead_lettered" for outcome, _ in drill.fates.values()) == 10
        if delivery == "exactly-once":
            assert len(drill.dead_letters) == 10


def test_storms_reach_everything() -> None:
    """Storms are more than wind: each kind of mishap hits, in few of them."""
    seen: set[str] = set()
    for seed in range(60):
        drill = busy_drill()
        drill.storm(seed)
        seen |= {event for _, event, _ in drill.log.lines}
        seen |= {f"{name} {cause}" for name, cause in drill.outcomes}
    assert seen >= {
        "partitions_lost",
        "partitions_revoked",
        "work_undone",
        "duplicate ",
        "abandoned partitions_lost",
        "abandoned ILLEGAL_GENERATION",
        "abandoned PRODUCER_FENCED",
    }


def test_a_drill_goes_the_same_way_every_time() -> None:
    """One seed, one story: log lines, counts and outputs."""

    def story(seed: int) -> tuple[Any, ...]:
        drill = busy_drill()
        drill.storm(seed)
        return drill.log.lines, drill.outcomes, drill.records("heard"), drill.clock()

    assert story(3) == story(3)
    assert story(3) != story(4)


STORIES = """
from tests.unit.notes import busy_drill
for seed in range(30):
    drill = busy_drill()
    drill.storm(seed)
    print(drill.log.lines, drill.outcomes, drill.records("heard"), drill.clock())
"""


def test_a_drill_goes_the_same_way_in_every_process() -> None:
    """Python's hashes, which differ from process to process, decide about nothing."""
    stories = [
        subprocess.run(
            [sys.executable, "-c", STORIES],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    ]
    assert stories[0] == stories[1] != b""


def test_an_error_of_the_users_tells_the_story() -> None:
    """What a pipeline's own parts raise into the loop comes with what happened before."""

    def settings_gone(note: Note, ctx: Context[Any]) -> Heard:
        raise MemoryError

    drill = Drill(replace(PIPELINE, transform=settings_gone), seed=5)
    drill.send(Note("ann", "say"))
    with pytest.raises(MemoryError) as caught:
        drill.run()
    assert "Drill(seed=5)" in "".join(caught.value.__notes__)
