"""One process of a pipeline under test, and what it says in its log.

A processor by default; ``module`` may also be a producer or a witness that serves metrics.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from lanternpipe.records import TopicPartition
from tests.chaos.deployment import Deployment
from tests.chaos.waiting import until

PROGRAM = ("lanternpipe", "process")
START_SECONDS = 60.0  # until a process has partitions: 1 to 8 seen
EXIT_SECONDS = 30.0  # three times the grace period of a clean stop


class Processor:
    """One `lanternpipe process`, which can be started again and again; its log goes on.

    Args:
        deployment: What it belongs to.
        name: Of the log file.
        module: What is run: the program, or one with a mistake in it.
        settings: Settings of its own, without ``PIPELINE_``.
    """

    def __init__(
        self,
        deployment: Deployment,
        name: str,
        *,
        module: Sequence[str] = PROGRAM,
        **settings: str,
    ) -> None:
        self.name, self.log = name, deployment.folder / f"{name}.log"
        self._deployment, self._settings = deployment, settings
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        deployment.at_close.append(self.kill)

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def static(self) -> bool:
        """Whether the process is a static member of its group."""
        return "KAFKA__STATIC_MEMBERSHIP" in self._settings

    @property
    def transactional_id(self) -> str:
        """The transactional id of a process that has an instance."""
        return f"{self._deployment.group}-{self._settings['INSTANCE']}"

    @property
    def metrics(self) -> str:
        """Where the process serves its metrics, as it says itself."""
        (line,) = self.events("processor_starting", "serving")
        return str(line["metrics"])

    def start(self) -> Self:
        """Start the process; nothing is waited for."""
        assert not self.running, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._module],
                env=self._deployment.environment(**self._settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=self._deployment.process_group,
            )
        return self

    def replacement(self) -> Processor | None:
        """Return another process of the same instance; None for a process without."""
        if not self._settings.get("INSTANCE"):
            return None
        return Processor(
            self._deployment, f"{self.name}-new", module=self._module, **self._settings
        )

    def start_and_join(self) -> Self:
        """Start the process and wait until it has partitions."""
        self.start()
        self.until(lambda: bool(self.partitions()), START_SECONDS, "partitions")
        return self

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End the process at once, if it runs, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def wait(self, seconds: float = EXIT_SECONDS) -> int:
        """Wait for the process to end by itself; return its exit code."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} has not ended in {seconds:.0f} s") from None

    def stop(self, seconds: float = EXIT_SECONDS) -> int:
        """Ask the process to end (SIGTERM), wait for that, and return its exit code."""
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> float:
        """Wait for a condition for as long as the process runs."""

        def holds() -> bool:
            if condition():
                return True
            assert self.running, f"{self.name} has ended; {what} cannot come\n{self.tail()}"
            return False

        try:
            return until(holds, seconds, f"{self.name}: {what}")
        except AssertionError as error:
            error.add_note(self.tail())
            raise

    def text(self) -> str:
        """Return what the process has printed since its last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def tail(self) -> str:
        """Return the last lines of the log."""
        return "\n".join([f"end of {self.log}:", *self.text().splitlines()[-20:]])

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Return the log lines of these events since the last start."""
        return [line for line in self._lines() if line["event"] in names]

    def partitions(self) -> set[TopicPartition]:
        """Return which input partitions the process has been given and has, as it says itself."""
        held: set[str] = set()
        for line in self.events("partitions_assigned", "partitions_revoked", "partitions_lost"):
            if line["event"] == "partitions_assigned":
                held.update(line["partitions"])
            else:
                held.difference_update(line["partitions"])
        places = (place.rsplit("/", 1) for place in held)
        ours = {TopicPartition(topic, int(number)) for topic, number in places}
        return ours & set(self._deployment.partitions)

    def _lines(self) -> Iterator[dict[str, Any]]:
        for line in self.text().splitlines():
            if line.startswith("{") and line.endswith("}"):  # the rest: errors, a torn last line
                yield json.loads(line)
