"""Turns a processor's loop and lets happen what is planned; starts a new one where one has died."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from lanternpipe.errors import FatalFailure
from lanternpipe.records import Place, TopicPartition
from lanternpipe.runtime.outcomes import Outcome
from lanternpipe.testing.fake_broker import Stored, Written
from lanternpipe.testing.ledger import unmarked
from lanternpipe.testing.life import EVERYTHING, NEVER, Given, Life
from lanternpipe.testing.mishaps import CrashError, Mishap

FEW = 5  # anomalies that a message names
LONG = 1e6  # seconds; nothing waits for so long but what waits for something else
IDLE_TURNS = 2  # in a row, from which on nothing will come before time has passed


class DrillError(AssertionError):
    """Raised when something was lost, repeated or left over; says what happened before."""


class Rig:
    """Runs one process at a time, which has all partitions but those that a mishap took away.

    Args:
        given: What outlives a process.
        seed: How the drill is to be called to see the same again.

    Attributes:
        life: The process; None before the first and between two.
        mishaps: What is still to happen.
        later: What is to happen within the first fetch of the next turn.
        commits_due: Whether commits are due, or work is gathered.
        most: Most records that one fetch brings.
        run_length: Most records of one partition in a row.
    """

    def __init__(self, given: Given, seed: str) -> None:
        self.life: Life | None = None
        self.mishaps: list[Mishap] = []
        self.later: list[Callable[[], None]] = []
        self.commits_due = True
        self.most = self.run_length = EVERYTHING
        self.seed = seed
        self._given = given
        self._broker = given.broker
        self._broker.on_store = self._stored
        self._past: Counter[Outcome] = Counter()
        self._script: list[str] = []
        self._turns = self._idle = 0

    def append(self, topic: str, number: int | None, stored: Stored) -> Place:
        """Write a record to a partition: the one that its key says, unless told otherwise."""
        count = sum(at.topic == topic for at in self._broker.logs)
        if number is None:
            # Records without key go round.
            held = sum(len(log) for at, log in self._broker.logs.items() if at.topic == topic)
            number = (held if stored.key is None else zlib.crc32(stored.key)) % count
        at = TopicPartition(topic, number)
        if at not in self._broker.logs:
            raise ValueError(f"{topic} has the partitions 0 to {count - 1}, not {number}")
        self._broker.logs[at].append(stored)
        return Place(*at, len(self._broker.logs[at]) - 1)

    def note(self, text: str) -> None:
        """Remember what happened, for the story."""
        self._script.append(f"turn {self._turns}: {text}")

    def turn(self) -> None:
        """Do one turn of the loop.

        Raises:
            DrillError: What became visible is not what should have.
        """
        self._turns += 1
        try:
            life = self._life()
            self._stage(life)
            life.processor.step()
            self._pass_time(life)
        except CrashError:
            self._end("the process died")
        except FatalFailure as failure:
            self._end(f"the process ended: {failure}")
            self._given.clock.pause(1.0)  # as a supervisor does before it starts another
        except AssertionError as error:
            raise DrillError(
                f"the loop broke a rule of the client: {error}{self.story()}"
            ) from error
        except Exception as error:
            error.add_note(self.story())
            raise
        self.check()

    def stop(self) -> None:
        """Let the process finish and leave, as it does when asked to."""
        if self.life is not None:
            self.note("the process was stopped")
            self.life.processor.stop()
            self._end(None)
            self.check()

    def finished(self) -> bool:
        """Tell whether all records are processed and committed."""
        return not self.waiting()

    def waiting(self) -> list[Place]:
        """Return the first record of each partition that is not committed yet."""
        group = self._broker.group
        return [
            Place(*at, group.get(at, 0))
            for at, log in self._broker.logs.items()
            if group.get(at, 0) != len(log)
        ]

    def in_flight(self) -> int:
        """Return how many deliveries are neither committed nor undone."""
        return 0 if self.life is None else self.life.processor.work.positions.in_flight()

    def planned(self) -> list[str]:
        """Return what has not happened yet."""
        calls = [f"{fault.error!r} at {call}" for call, fault in self._broker.planned]
        return [*(mishap.text for mishap in self.mishaps), *calls]

    def calm(self) -> None:
        """Forget what has not happened, and go on as usual."""
        self._broker.forgive()
        self.mishaps.clear()
        self.commits_due = True
        self.most = self.run_length = EVERYTHING
        if self.life is not None:
            self.life.source.busy = self.life.source.quiet = 0

    def outcomes(self) -> Counter[Outcome]:
        """Return what all processes so far have counted."""
        return self._past + (self.life.processor.work.outcomes.counted if self.life else Counter())

    def check(self) -> None:
        """Hold that all is right so far.

        Raises:
            DrillError: It is not.
        """
        found = list(map(str, self._given.ledger.anomalies))
        if self.life is not None:
            work = self.life.processor.work
            if missing := work.outcomes.unaccounted(work.positions.in_flight()):
                found.append(f"ledger: {missing} deliveries without an outcome")
        if found:
            more = f"\n  and {len(found) - FEW} more" if len(found) > FEW else ""
            raise DrillError("\n  ".join(["this went wrong:", *found[:FEW]]) + more + self.story())

    def story(self) -> str:
        """Return what happened so far."""
        lines = [f"\nuntil turn {self._turns} of {self.seed}:", *self._script]
        return "\n  ".join(lines)

    def _life(self) -> Life:
        if self.life is None:
            self.life = Life(self._given)
            self.life.processor.start()
        self.life.interval.seconds = 0.0 if self.commits_due else NEVER
        self.life.source.most, self.life.source.run_length = self.most, self.run_length
        return self.life

    def _stage(self, life: Life) -> None:
        """Give partitions that nobody has, or let one planned mishap happen."""
        later, self.later = self.later, []
        life.source.before.extend(later)
        if later:
            return
        if free := self._broker.logs.keys() - life.source.assigned.keys():
            life.source.before.append(lambda: life.source.assign(*sorted(free)))
            return
        for mishap in self.mishaps:
            if mishap.happen(life):
                self.note(mishap.text)
                self.mishaps.remove(mishap)
                return

    def _end(self, how: str | None) -> None:
        if how is not None:
            self.note(how)
        if self.life is not None:
            self._past.update(self.life.processor.work.outcomes.counted)
        self.life = None
        self.later = []
        self._idle = 0
        self._broker.generation += 1  # the group notices

    def _pass_time(self, life: Life) -> None:
        """Let the clock jump to when something will happen, if nothing does now."""
        if life.source.brought or self.finished():
            self._idle = 0
            return
        self._idle += 1
        wait = life.processor.work.seconds_until_due(LONG)
        if wait < LONG:
            self._given.clock.pause(wait)
        elif self._idle > IDLE_TURNS:
            self._given.clock.pause(1.0)

    def _stored(self, written: Sequence[Written], offsets: Mapping[TopicPartition, int]) -> None:
        """Judge what becomes visible; what goes to a topic that is read comes back as input."""
        self._given.ledger.stored(written, offsets)
        read = {at.topic for at in self._broker.logs}
        for each in written:
            if each.topic in read:
                headers = unmarked(each.headers) or None
                stored = Stored(each.value, each.key, each.timestamp or self._broker.now(), headers)
                self.append(each.topic, None, stored)
