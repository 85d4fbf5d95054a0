"""Starts and ends the processes that are measured."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
STOP_SECONDS = 20.0
TAIL_BYTES = 4_000


class Contender:
    """A running process, or several as one; the output is kept for when one fails."""

    def __init__(self, parts: Iterable[tuple[subprocess.Popen[bytes], Path]]) -> None:
        self.parts = tuple(parts)
        self.pids = tuple(process.pid for process, _ in self.parts)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        for process, _ in self.parts:
            process.kill()
            process.wait()

    def check(self, *, stuck: bool = False) -> None:
        """Exit with the end of its output if it has ended, or is stuck."""
        for process, log in self.parts:
            if stuck or process.poll() is not None:
                tail = log.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
                raise SystemExit(f"{process.args!r} ended or is stuck:\n{tail}")


@contextmanager
def together(members: Iterable[AbstractContextManager[Contender]]) -> Iterator[Contender]:
    """Run several within the block, and take them as one."""
    with ExitStack() as stack:
        running = [stack.enter_context(member) for member in members]
        yield Contender(part for member in running for part in member.parts)


@contextmanager
def running(
    arguments: Sequence[str], *, python: str = sys.executable, **environment: str
) -> Iterator[Contender]:
    """Run Python, or another program, with these arguments within the block."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [python, *arguments],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            yield Contender([(process, log)])
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def processor(
    delivery: str, servers: str, source: str, target: str, *, signals: str = "metrics,logs"
) -> dict[str, str]:
    """Return the environment of ``lanternpipe process`` from one topic to another."""
    return {
        "PIPELINE_TELEMETRY__SIGNALS": signals,
        "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": servers,
        "PIPELINE_KAFKA__GROUP_ID": f"bench-{target}",
        "PIPELINE_TOPICS__INPUT": source,
        "PIPELINE_TOPICS__OUTPUT": target,
        "PIPELINE_DELIVERY": delivery,
        "PIPELINE_INSTANCE": "",
    }
