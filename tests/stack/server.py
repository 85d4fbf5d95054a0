"""A real server as a process of this machine: up within a deadline, with switches, gone in the end.

An error that leaves the ``with`` block gets the end of the log as a note, and the log is kept.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lanternpipe.testing.guard import guard
from tests.stack.install import StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

HOST = "127.0.0.1"
ATTEMPTS = 3  # at ports that nobody takes before the server does
START_SECONDS = 60.0
STOP_SECONDS = 30.0  # for an orderly stop on request
CLOSE_SECONDS = 2.0  # for the end, when nobody needs the data any more
ANSWER_SECONDS = 5.0
LOOK_EVERY = 0.05
TAIL_LINES = 40

_PORT_TAKEN = re.compile("address already in use", re.IGNORECASE)


class _PortTakenError(StackError):
    """Another process was faster to take a port."""


def ask(
    address: str,
    path: str,
    body: bytes | None = None,
    *,
    content_type: str = "application/json",
    timeout: float = ANSWER_SECONDS,
) -> tuple[int, bytes]:
    """Send a GET, or a POST where there is a body, and return the status and the answer.

    Raises:
        OSError: Nobody listens, or no answer comes within ``timeout`` seconds.
        http.client.HTTPException: The connection ended before the answer did.
    """
    connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        method = "GET" if body is None else "POST"
        headers = {} if body is None else {"Content-Type": content_type}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Server:
    """One server: its log, and its process while it runs."""

    def __init__(
        self,
        name: str,
        folder: Path,
        group: int,
        *,
        command: Sequence[str],
        ready: tuple[str, str],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare a server that does not run yet.

        Args:
            name: For messages and the log's file name.
            folder: Where the server's files go.
            group: The process group that a guard leads.
            command: Starts the server.
            ready: The address and the path that answer 200 once the server is ready.
            environment: More variables than ours.
        """
        self.name, self.folder, self.log = name, folder, folder / f"{name}.log"
        self._group, self._command, self._ready = group, list(command), ready
        self._environment = {**os.environ, **(environment or {})}
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, with the ports and the files it had, and wait until it is ready."""
        if self.runs():
            raise StackError(f"{self.name} runs already")
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=self._group,
            )
        self._await_ready()

    def stop(self) -> None:
        """Stop the server in order (SIGTERM), so that it writes what it still holds."""
        self._send(signal.SIGTERM)
        if not self._end(STOP_SECONDS):
            raise StackError(f"{self.name} did not stop in {STOP_SECONDS:.0f} s")
        if self._process and self._process.returncode != 0:
            raise StackError(f"{self.name} ended with exit code {self._process.returncode}")

    def kill(self) -> None:
        """End the server at once, as a crash does (SIGKILL)."""
        self._send(signal.SIGKILL)
        self._end(STOP_SECONDS)

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): it takes connections but never answers."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on (SIGCONT)."""
        self._send(signal.SIGCONT)

    def runs(self) -> bool:
        """Tell whether the process is there, frozen or not."""
        return self._process is not None and self._process.poll() is None

    def tail(self) -> str:
        """Return the last lines of the log, for a test report."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"end of {self.log}:", *lines[-TAIL_LINES:]])

    def close(self) -> None:
        """End the server whatever its state, orderly if that is quick."""
        if not self.runs():
            return
        self._send(signal.SIGCONT)  # a frozen one would not hear of its end
        self._send(signal.SIGTERM)
        if not self._end(CLOSE_SECONDS):
            self.kill()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if not self.runs():
                if _PORT_TAKEN.search(self._printed()):
                    raise _PortTakenError(f"{self.name} found a port taken")
                raise StackError(f"{self.name} ended while starting")
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} not ready in {START_SECONDS:.0f} s")
            time.sleep(LOOK_EVERY)

    def _is_ready(self) -> bool:
        address, path = self._ready
        with suppress(OSError, http.client.HTTPException):
            # Another process may answer at a port that it took before us.
            return ask(address, path)[0] == http.HTTPStatus.OK and self.runs()
        return False

    def _printed(self) -> str:
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")

    def _send(self, number: signal.Signals) -> None:
        if self._process is None or not self.runs():
            raise StackError(f"{self.name} does not run")
        self._process.send_signal(number)

    def _end(self, seconds: float) -> bool:
        """Wait for the process to end and say whether it did."""
        with suppress(subprocess.TimeoutExpired):
            if self._process:
                self._process.wait(seconds)
        return not self.runs()


S = TypeVar("S", bound=Server)


@contextmanager
def running(make: Callable[[Path, int], S], directory: Path | None) -> Iterator[S]:
    """Run a server for the length of the block.

    Args:
        make: Makes it, with ports that are free now, in a folder and a process group.
        directory: Where its files go and stay. By default a temporary folder.
    """
    root = (directory or Path(tempfile.mkdtemp(prefix="lanternpipe-stack-"))).resolve()
    root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        group = stack.enter_context(guard())
        for attempt in range(1, ATTEMPTS + 1):
            try:
                server = stack.enter_context(_started(make(root, group)))
                break
            except _PortTakenError:
                if attempt == ATTEMPTS:
                    raise
        yield server
    if directory is None:  # an error does not come this far, which keeps the log
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _started(server: S) -> Iterator[S]:
    try:
        server.start()
        yield server
    except BaseException as error:
        error.add_note(server.tail())  # before the end adds lines of its own
        raise
    finally:
        server.close()
