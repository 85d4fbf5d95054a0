"""What processes and the whole machine have used, read from Linux's ``/proc``.

Left out: energy, caches, and CPU time that the hypervisor gives to its other guests.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Protocol, TypeVar

CALM_CORES = 0.15
CALM_WAIT_SECONDS = 60
NOISY_CORES = 0.3  # a run during which others took more is made again
TRIES = 4
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def require_linux() -> None:
    """Exit with one clear line where there is no ``/proc``."""
    if sys.platform != "linux":
        raise SystemExit("The benchmarks read /proc and so need Linux (a container will do).")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time, user and system, of all threads of a process."""
    # The name of the process comes second, in brackets, and may hold blanks.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def peak_rss_mib(pid: int) -> float:
    """Return the most memory that a process has had resident so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def busy_seconds() -> float:
    """Return the CPU time that everybody on this machine has used since its start."""
    _, user, nice, system, _, _, irq, softirq, steal, *_ = (
        Path("/proc/stat").read_text().splitlines()[0].split()
    )
    ticks = (user, nice, system, irq, softirq, steal)
    return sum(map(int, ticks)) / TICKS_PER_SECOND


def await_calm() -> None:
    """Wait until this machine has been almost idle for a second, but not for ever."""
    for _ in range(CALM_WAIT_SECONDS):
        before = busy_seconds()
        time.sleep(1)
        if busy_seconds() - before < CALM_CORES:
            return


class Measured(Protocol):
    """What a run has measured, among it how many cores others took meanwhile."""

    foreign_cores: float


M = TypeVar("M", bound=Measured)


def calm(measure: Callable[[], M]) -> M:
    """Measure when the machine is calm; again, but not for ever, if others have used it."""
    for _ in range(TRIES):
        await_calm()
        found = measure()
        if found.foreign_cores < NOISY_CORES:
            break
        print(f"others took {found.foreign_cores:.2f} cores", flush=True)
    return found


def describe() -> dict[str, str]:
    """Return what a reader must know of this machine to judge figures from it."""
    model = next(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": f"{os.cpu_count()} x {model}",
        "memory": f"{memory:.0f} GiB",
        "python": platform.python_version(),
        "confluent-kafka": version("confluent-kafka"),
        "msgspec": version("msgspec"),
    }
