"""What the loop does while the breaker is open: now and then a dry run over what comes next."""

from __future__ import annotations

import math
from collections.abc import Callable, Container

from lanternpipe.ports import Log
from lanternpipe.records import Fetched, Records
from lanternpipe.runtime.breaker import PROBE_EVERY, PROBE_SECONDS, Breaker, Share
from lanternpipe.runtime.health import Health
from lanternpipe.runtime.plan import Plan
from lanternpipe.runtime.steering import Steering


class OpenBreaker:
    """Stops the loop, and looks now and then whether the flood has passed.

    While it is open nothing is produced or committed; polling goes on, so that the process stays
    in its group. A restart would not help, and is not asked for.

    Args:
        breaker: Judges.
        steering: Lets partitions wait.
        health: Told that records are not processed.
        plan: Says what would become of a run, without sending it.
        hops: Topics whose records are not judged.
        log: Writes log lines.
        clock: Monotonic seconds.

    Attributes:
        opened: How often it has opened in this process's life.
    """

    def __init__(
        self,
        breaker: Breaker,
        *,
        steering: Steering,
        health: Health,
        plan: Callable[[Records], Plan],
        hops: Container[str],
        log: Log,
        clock: Callable[[], float],
    ) -> None:
        self.opened = 0
        self._breaker = breaker
        self._steering = steering
        self._health = health
        self._plan = plan
        self._hops = hops
        self._log = log
        self._clock = clock
        self._probe_at = math.inf
        self._probe_ends = math.inf
        self._share = Share()

    def __bool__(self) -> bool:
        """Tell whether it is open."""
        return self._probe_at < math.inf

    def open(self, share: Share) -> None:
        """Stop."""
        self.opened += 1
        self._share = share
        self._rest()
        self._log(
            "error",
            "breaker_opened",
            records=share.records,
            dead=share.dead,
            hint="mend what fails, or let these records become dead letters with "
            "PIPELINE_DEADLETTER__BREAKER__ACCEPT_BEFORE",
        )

    def step(self, fetched: Fetched) -> None:
        """Do one turn of the loop with what was fetched, which is read again later."""
        probing = self._probe_ends < math.inf
        for run in fetched.runs:
            if run.source in self._steering:
                continue  # stale
            self._steering.look_ahead(run.source, run.offsets[0])
            if probing and run.source.topic not in self._hops:
                share = self._breaker.share(run, self._plan(run))
                seen = self._share
                self._share = Share(seen.records + share.records, seen.dead + share.dead)
        if probing:
            if self._share.records >= self._breaker.window or self._clock() >= self._probe_ends:
                self._conclude()
            return
        self._steering.turn_back()  # what came before the client could be paused
        if self._clock() >= self._probe_at:
            self._probe_ends = self._clock() + PROBE_SECONDS
            self._share = Share()
            self._steering.go("breaker")

    def _conclude(self) -> None:
        self._steering.turn_back()
        share = self._share
        if not share.records or self._breaker.too_many(share):
            self._rest()
            return
        self._probe_at = self._probe_ends = math.inf
        self._breaker.close()
        self._health.unready(None)
        self._log("info", "breaker_closed", records=share.records, dead=share.dead)

    def _rest(self) -> None:
        if self._share.records:
            share = f"{self._share} would be dead letters"
            self._health.unready(f"the breaker is open: {share}")
        self._steering.stop("breaker")
        self._probe_at, self._probe_ends = self._clock() + PROBE_EVERY, math.inf
