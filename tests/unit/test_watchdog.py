"""A call into the client that never returns ends the process."""

from __future__ import annotations

import pytest

from lanternpipe.runtime.watchdog import EXIT_HUNG, Deadline
from tests.unit.programs import run_program


def test_a_hung_call_ends_the_process_and_tells_where() -> None:
    """Only a call that hangs ends the process, with all stacks; other time does not count."""
    ended = run_program("""
        import threading
        import time
        from lanternpipe.runtime.watchdog import Deadline

        def a_call_that_hangs():
            time.sleep(3600)

        deadline = Deadline(0.4)
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            with deadline:
                time.sleep(0.01)
        threading.Event().wait(0.6)  # no call: no deadline
        print("alive", flush=True)
        with deadline:
            a_call_that_hangs()
    """)
    assert ended.returncode == EXIT_HUNG == 70
    assert ended.stdout == "alive\n"
    assert "has not returned for 0.4 s" in ended.stderr
    assert "in a_call_that_hangs" in ended.stderr


def test_a_call_is_given_more_time_for_as_long_as_it_is_excused() -> None:
    """A call that goes on for long is not ended while somebody knows why, and is afterwards."""
    ended = run_program("""
        import threading
        import time
        from lanternpipe.runtime.watchdog import Deadline

        deadline = Deadline(0.4)

        def excuse():
            for _ in range(12):
                time.sleep(0.1)
                deadline.excuse()
            assert deadline.waited() > 1.0
            print("excused", flush=True)

        threading.Thread(target=excuse).start()
        with deadline:
            time.sleep(3600)
    """)
    assert ended.returncode == EXIT_HUNG
    assert ended.stdout == "excused\n", ended.stderr


def test_a_process_that_stood_still_knows_for_how_long() -> None:
    """Time in which the process was frozen is counted, and that at once when it wakes."""
    ended = run_program("""
        import os
        import signal
        import subprocess
        import time
        from lanternpipe.runtime.watchdog import Deadline

        deadline = Deadline(3600.0)
        assert deadline.frozen == 0
        with deadline:
            pass
        earlier = deadline.frozen
        subprocess.Popen(["sh", "-c", f"sleep 3; kill -CONT {os.getpid()}"])
        before = time.monotonic()
        os.kill(os.getpid(), signal.SIGSTOP)
        stood = time.monotonic() - before
        for _ in range(2):
            # The pause between two looks is not counted.
            assert deadline.frozen - earlier >= stood - 1.1, (stood, deadline.frozen)
            time.sleep(1.2)  # by now the thread has looked, too
        print("woken", flush=True)
    """)
    assert ended.stdout == "woken\n", ended.stderr


def test_exceptions_pass_and_end_the_deadline() -> None:
    """What a call raises is not held back, and the deadline can be used again."""
    deadline = Deadline(3_600.0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), deadline:
            raise ZeroDivisionError


def test_a_process_without_standard_error_ends_too() -> None:
    """Where nothing can be written the process ends all the same."""
    ended = run_program("""
        import sys
        from lanternpipe.runtime.watchdog import end_process
        sys.stderr.close()
        end_process(70, "nobody hears this", stacks=True)
    """)
    assert ended.returncode == EXIT_HUNG
