"""Start and stop: signals, and a limit for how long a clean stop may take."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from lanternpipe.runtime.lifecycle import EXIT_STOP_TIMED_OUT, StopRequest
from tests.unit.programs import run_program

HOUR = 3_600.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_requests_a_stop(number: signal.Signals) -> None:
    """SIGTERM and SIGINT make the request true, and tell whoever wants to know."""
    told = threading.Event()
    stop = StopRequest(HOUR, told.set)
    with stop.on_signals():
        assert not stop()
        assert not stop.wait(0)
        os.kill(os.getpid(), number)
        assert stop.wait(10)
        assert stop()
        assert told.wait(10)


def test_handlers_are_put_back() -> None:
    """Behind the block signals do what they did before."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with StopRequest(HOUR).on_signals():
        assert signal.getsignal(signal.SIGTERM) is not before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_asking_twice_in_the_program_is_asking_once() -> None:
    """The program may request a stop as often as it likes; only the first is told."""
    told: list[None] = []
    first = threading.Event()

    def tell() -> None:
        told.append(None)
        first.set()

    stop = StopRequest(HOUR, tell)
    with stop.on_signals():
        stop.ask()
        stop.ask()
        assert first.wait(10)
    assert stop()
    assert len(told) == 1


def test_a_stop_that_takes_too_long_ends_the_process() -> None:
    """After the grace period the process ends, says so, and that nothing is lost."""
    ended = run_program("""
        import os, signal, time
        from lanternpipe.runtime.lifecycle import StopRequest
        with StopRequest(0.1).on_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(3600)
    """)
    assert ended.returncode == EXIT_STOP_TIMED_OUT
    assert "a clean stop took longer than 0.1 s" in ended.stderr
    assert "will be processed again" in ended.stderr


def test_a_second_signal_ends_the_process_at_once() -> None:
    """Whoever asks twice does not want to wait."""
    ended = run_program("""
        import os, signal, time
        from lanternpipe.runtime.lifecycle import StopRequest
        with StopRequest(3600).on_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(3600)
    """)
    assert ended.returncode == EXIT_STOP_TIMED_OUT
    assert "asked to stop twice" in ended.stderr


def test_a_clean_stop_ends_the_limit() -> None:
    """A process that has stopped in time goes on to its own end."""
    ended = run_program("""
        import os, signal, threading
        from lanternpipe.runtime.lifecycle import StopRequest
        stop = StopRequest(0.5)
        with stop.on_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.wait(10)
        for thread in threading.enumerate():
            if thread.name == "stop-limit":
                thread.join(10)
                assert not thread.is_alive()
        print("clean")
    """)
    assert (ended.returncode, ended.stdout) == (0, "clean\n"), ended.stderr


def test_a_signal_may_arrive_while_a_line_is_logged() -> None:
    """A stop that is requested in the midst of a log line, and is logged, does not hang."""
    ended = run_program(
        """
        import io, os, signal
        from lanternpipe.runtime.lifecycle import StopRequest
        from lanternpipe.settings import LogSettings
        from lanternpipe.telemetry.logs import PipelineLog

        class Stream(io.StringIO):
            def write(self, text):
                if not stop():
                    os.kill(os.getpid(), signal.SIGTERM)
                return super().write(text)

        log = PipelineLog(LogSettings(), service="test", stream=Stream())
        stop = StopRequest(3600, lambda: log("info", "stopping"))
        with stop.on_signals():
            log("info", "working")
            print("stops", stop.wait(10))
        """,
        timeout=5.0,
    )
    assert (ended.returncode, ended.stdout) == (0, "stops True\n"), ended.stderr
