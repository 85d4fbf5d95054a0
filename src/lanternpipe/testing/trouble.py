"""What a test may let go wrong in a drill."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from lanternpipe.codec.json import JsonCodec
from lanternpipe.testing.fake_broker import Written
from lanternpipe.testing.life import Given, Life
from lanternpipe.testing.mishaps import (
    CRASH_POINTS,
    FAILURES,
    Call,
    CrashError,
    CrashPoint,
    Kind,
    Mishap,
    crash_call,
)
from lanternpipe.testing.rig import Rig

Out = TypeVar("Out")


class Trouble(Generic[Out]):
    """Plans what goes wrong; each happens as soon as it can.

    Args:
        given: What outlives a process.
        output: Name of the output topic on the broker.
        seed: Decides what is left to chance.
        rng: Makes the choices.
    """

    def __init__(self, given: Given, output: str, seed: int, rng: random.Random) -> None:
        self._given = given
        self._random = rng
        self._rig = Rig(given, f"Drill(seed={seed})")
        self._output = output
        self._refusals: list[_Refusal] = []
        given.broker.refuses = self._refused

    def crash(self, at: CrashPoint | None = None) -> None:
        """Let the process die; another one comes and finds what the broker has.

        Args:
            at: ``before_send``; ``before_commit``, with all sent; or within the commit, with its
                outcome unknown to us: ``commit_lost`` on its way, or ``commit_done``. By default
                left to chance.
        """
        point = self._random.choice(CRASH_POINTS) if at is None else at
        call, carried_out = crash_call(point, self._given.settings)
        self._rig.note(f"planned: crash({point!r})")
        self._given.broker.fail(call, CrashError(point), applied=carried_out)

    def rebalance(self, *, lost: bool = False) -> None:
        """Let all partitions go in the midst of work, and come back.

        Args:
            lost: Whether the process hears of it only afterwards, when others may own them.
        """
        late, at_once = self._random.random() < 0.5, self._random.random() < 0.5

        def happen(life: Life) -> bool:
            source = life.source
            events = source.after if late else source.before
            if not lost:
                events.append(lambda: source.revoke(*source.assigned))
            elif at_once:
                self._given.broker.generation += 1
                events.append(source.be_told_of_loss)
            else:
                self._given.broker.generation += 1
                self._rig.later.append(source.be_told_of_loss)
            return True

        self._plan(f"rebalance(lost={lost})", happen)

    def duplicate(self, records: int = 3) -> None:
        """Let the client deliver records once more, as it may after a seek or a reconnect."""
        choice = self._random.random()

        def happen(life: Life) -> bool:
            work, source = life.processor.work, life.source
            known = work.positions.snapshot()
            seen = [
                (at, offset)
                for at, offset in sorted(source.assigned.items())
                if offset
                and at in known
                and known[at].next is not None
                and at not in source.paused
                and not work.waits(at)
            ]
            if not seen:
                return False
            at, offset = seen[int(choice * len(seen))]
            source.assigned[at] = max(0, offset - records)
            return True

        self._plan(f"duplicate({records})", happen)

    def refuse(self, wrong: Callable[[Out], bool] = lambda _: True) -> None:
        """Let the broker refuse output events for which ``wrong`` is true, and for ever."""
        self._rig.note("planned: refuse(...)")
        self._refusals.append(_Refusal(wrong))

    def fail(self, call: Call, kind: Kind, *, carried_out: bool = False) -> None:
        """Let the next call of that name fail; it may have been carried out all the same."""
        self._rig.note(f"planned: fail({call!r}, {kind!r}, carried_out={carried_out})")
        self._given.broker.fail(call, FAILURES[kind](), applied=carried_out)

    def hamper(self, *, seeks: int = 0, fetches: int = 0, disturbed: bool = False) -> None:
        """Let the client refuse seeks, bring nothing for some fetches, or lose a connection."""

        def happen(life: Life) -> bool:
            life.source.busy, life.source.quiet = seeks, fetches
            life.sink.disturbed = life.sink.disturbed or disturbed
            return True

        self._plan(f"hamper(seeks={seeks}, fetches={fetches}, disturbed={disturbed})", happen)

    def _never_happened(self) -> list[str]:
        """Return what is still to happen."""
        refusals = ["refuse(...)" for each in self._refusals if not each.happened]
        return self._rig.planned() + refusals

    def _plan(self, text: str, happen: Callable[[Life], bool]) -> None:
        self._rig.note(f"planned: {text}")
        self._rig.mishaps.append(Mishap(text, happen))

    def _refused(self, written: Written) -> bool:
        if not self._refusals or written.topic != self._output:
            return False
        event = JsonCodec(self._given.pipeline.output.event).decode(written.value)
        return any(each(event) for each in self._refusals)


class _Refusal:
    """Tells which events are refused, and remembers whether any was."""

    def __init__(self, wrong: Callable[[Any], bool]) -> None:
        self.happened = False
        self._wrong = wrong

    def __call__(self, event: Any) -> bool:
        refused = bool(self._wrong(event))
        self.happened = self.happened or refused
        return refused
