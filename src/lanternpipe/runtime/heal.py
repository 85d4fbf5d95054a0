"""What is done about a partition that stands still: a new client, then an end."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lanternpipe.ports import Log
from lanternpipe.records import TopicPartition
from lanternpipe.runtime.stall import LOOK_SECONDS, Stalls
from lanternpipe.runtime.steering import Steering
from lanternpipe.runtime.watchdog import EXIT_HUNG, dump_stacks, end_process
from lanternpipe.runtime.work import Work


class StallWatch:
    """Looks about once a second for partitions that stand still.

    Args:
        stalls: Finds them.
        ends: Last stable offsets; nothing while they are not fresh.
        work: Knows where we stand.
        steering: Knows what waits on purpose.
        log: Writes log lines.
        clock: Monotonic seconds.

    Attributes:
        healed: How often the client has been replaced.
    """

    def __init__(
        self,
        stalls: Stalls,
        *,
        ends: Callable[[], Mapping[TopicPartition, int]],
        work: Work,
        steering: Steering,
        log: Log,
        clock: Callable[[], float],
    ) -> None:
        self.healed = 0
        self._stalls = stalls
        self._ends = ends
        self._work = work
        self._steering = steering
        self._log = log
        self._clock = clock
        self._looked_at = clock()
        self._polls = 0
        self._tried: dict[TopicPartition, int | None] = {}

    def polled(self, *, full: bool, excused: bool = False) -> None:
        """Learn of a poll, and look when it is time.

        Args:
            full: Whether it brought as much as was asked for.
            excused: Whether nothing is to move just now.
        """
        self._polls += not full
        now = self._clock()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        positions = self._work.positions.snapshot()
        self._tried = {
            at: stood
            for at, stood in self._tried.items()
            if at not in positions or positions[at].next in (None, stood)
        }
        waiting = positions.keys() if excused else self._steering.waiting
        stuck = self._stalls.look(now, positions, self._ends(), waiting=waiting, polls=self._polls)
        if stuck:
            self._heal({at: positions[at].next for at in stuck})

    def _heal(self, stuck: Mapping[TopicPartition, int | None]) -> None:
        names = [str(at) for at in stuck]
        dump_stacks()
        if self._tried.keys() & stuck.keys():
            end_process(
                EXIT_HUNG,
                f"nothing comes from {', '.join(names)} though there are records, also after the "
                "client was replaced; ending the process so that another can take over",
            )
        self._log("error", "partitions_stalled", partitions=names)
        self.healed += 1
        self._tried.update(stuck)
        self._work.begin_again("stalled")
