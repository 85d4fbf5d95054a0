"""Real processes for tests end with the test, however it ends.

All processes are one process group, led by a guard: a shell that waits at a pipe from us and kills
its group, itself included, at the pipe's end, which comes also when we are killed. Unlike
``PR_SET_PDEATHSIG`` that works on macOS, needs no ``preexec_fn`` (unsafe beside librdkafka's
threads), and does not strike when merely the *thread* that started a process ends. A process that
we fork without exec holds the pipe open, too.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CLEAN_UP_SECONDS = 30.0


@contextmanager
def guard(clean_up: Sequence[str] = ()) -> Iterator[int]:
    """Lead a process group that outlives neither this block nor this process.

    Args:
        clean_up: A command for what killing the group does not end; none if empty.
    """
    script = 'read -r _; "$@"; kill -KILL 0'
    leader = subprocess.Popen(  # noqa: S603  # our own command
        ["/bin/sh", "-c", script, "guard", *clean_up],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        yield leader.pid
    finally:
        try:
            leader.communicate(timeout=CLEAN_UP_SECONDS)
        except subprocess.TimeoutExpired:  # the cleaning up hangs
            os.killpg(leader.pid, signal.SIGKILL)
            leader.wait()
