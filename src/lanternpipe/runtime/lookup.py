"""Asks others about the events of a batch, within a time-out that holds."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any, NoReturn

from lanternpipe.errors import Retry
from lanternpipe.pipeline import Context
from lanternpipe.ports import Log
from lanternpipe.runtime.deadletter import frames
from lanternpipe.runtime.watchdog import EXIT_HUNG, end_process

# Times the time-out: a call that has taken so long will not return.
HUNG_AFTER = 10


class Answers(Mapping[Any, Any]):
    """What was found out; a value that is a ``Retry`` is raised where it is asked for."""

    def __init__(self, found: Mapping[Any, Any]) -> None:
        self._found = found

    def __getitem__(self, key: Any) -> Any:
        value = self._found[key]
        if isinstance(value, Retry):
            raise value
        return value

    def __iter__(self) -> Iterator[Any]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


class NoAnswer(Mapping[Any, Any]):
    """Stands for a lookup that failed: whoever asks is tried again."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __getitem__(self, key: Any) -> NoReturn:
        raise Retry(self._reason)

    def __iter__(self) -> NoReturn:
        raise Retry(self._reason)

    def __len__(self) -> NoReturn:
        raise Retry(self._reason)

    def __contains__(self, key: object) -> NoReturn:
        raise Retry(self._reason)


class Lookups:
    """Runs the user's lookup in threads of its own, since no call can be trusted to return.

    Args:
        lookup: The user's.
        timeout: Seconds for one call.
        threads: Most calls at once, those included that have not returned in time.
        log: Writes log lines.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        lookup: Callable[[Sequence[Any], Context[Any]], Mapping[Any, Any]],
        *,
        timeout: float,
        threads: int,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookup = lookup
        self._timeout = timeout
        self._free = threading.Semaphore(threads)
        self._log = log
        self._clock = clock
        self._began: dict[object, float] = {}

    def __call__(self, events: Sequence[Any], ctx: Context[Any]) -> Mapping[Any, Any]:
        """Ask about the events of a batch; returns in time, whatever the user's code does."""
        if not events:
            return {}
        if not self._free.acquire(blocking=False):
            self._give_up_on_the_hung()
            return NoAnswer("lookup_busy")
        answer: SimpleQueue[Mapping[Any, Any]] = SimpleQueue()
        threading.Thread(
            target=self._ask, args=(events, ctx, answer), name="lookup", daemon=True
        ).start()
        try:
            return answer.get(timeout=self._timeout)
        except Empty:
            return NoAnswer("lookup_timed_out")

    def _ask(
        self, events: Sequence[Any], ctx: Context[Any], answer: SimpleQueue[Mapping[Any, Any]]
    ) -> None:
        call = object()
        self._began[call] = self._clock()
        try:
            answer.put(Answers(self._lookup(events, ctx)))
        except Retry as retry:
            answer.put(NoAnswer(str(retry.reason)))
        except Exception as error:  # noqa: BLE001  # the user's own code may raise anything
            answer.put(NoAnswer("lookup_failed"))
            self._log(
                "error",
                "lookup_failed",
                error=type(error).__qualname__,
                frames=list(frames(error.__traceback__)),
            )
        finally:
            del self._began[call]
            self._free.release()

    def _give_up_on_the_hung(self) -> None:
        """End the process when calls that never return have taken all threads."""
        limit = HUNG_AFTER * self._timeout
        if self._clock() - min(self._began.copy().values(), default=math.inf) > limit:
            end_process(
                EXIT_HUNG,
                f"a lookup has not returned for {limit:g} s, and no thread is left for others: "
                "give its client a time-out; ending the process so that another can take over",
                stacks=True,
            )
