"""CPU, memory, files and threads of all processes of a run, seen from outside once a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import psutil

EVERY_SECONDS = 1.0


class Sample(NamedTuple):
    """One look at one process.

    Attributes:
        at: Seconds since 1970.
        name: Of the process; several may share one, and count together.
        cores: CPU time per second since the last look.
        mib: Resident memory.
        files: Open file descriptors; 0 where the system does not tell.
        threads: Its threads.
    """

    at: float
    name: str
    cores: float
    mib: float
    files: int
    threads: int


class Watch:
    """Looks at processes.

    Args:
        named: Returns the process ids to look at, by name.

    Attributes:
        samples: All looks so far.
        failure: What has ended it early, if anything has.
    """

    def __init__(self, named: Callable[[], Mapping[str, int | None]]) -> None:
        self._named = named
        self._used: dict[int, tuple[float, float]] = {}
        self.samples: list[Sample] = []
        self.failure: Exception | None = None

    def look(self) -> None:
        """Look once."""
        for name, pid in self._named().items():
            if pid is None:
                continue
            try:
                self._one(name, psutil.Process(pid))
            except psutil.Error:
                continue  # it has just ended

    def _one(self, name: str, process: Any) -> None:
        now, ticks = time.time(), time.monotonic()
        with process.oneshot():
            times = process.cpu_times()
            used = times.user + times.system
            mib = process.memory_info().rss / 2**20
            files = process.num_fds() if hasattr(process, "num_fds") else 0
            threads = process.num_threads()
        before = self._used.get(process.pid)
        self._used[process.pid] = (ticks, used)
        if before is not None:
            cores = (used - before[1]) / (ticks - before[0])
            self.samples.append(Sample(now, name, cores, mib, files, threads))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look once a second within the block."""
        ended = threading.Event()

        def run() -> None:
            try:
                while not ended.wait(EVERY_SECONDS):
                    self.look()
            except Exception as error:  # noqa: BLE001  # is told by the report
                self.failure = error

        thread = threading.Thread(target=run, name="watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def family(pid: int | None) -> dict[str, int | None]:
    """Return the processes of a generator by name: Locust, its workers, and the reader."""
    if pid is None:
        return {}
    named: dict[str, int | None] = {"generator": pid}
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return named
    for child in children:
        with suppress(psutil.Error):  # it has just ended
            is_reader = "loadtest.reader" in child.cmdline()
            named["reader" if is_reader else f"generator {len(named) + 1}"] = child.pid
    return named
