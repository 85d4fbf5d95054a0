"""Lookups: within their time, whatever the user's code does."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from lanternpipe.errors import Retry
from lanternpipe.runtime.lookup import Lookups
from lanternpipe.runtime.watchdog import EXIT_HUNG
from lanternpipe.testing.doubles import LogBook
from tests.unit.programs import run_program
from tests.unit.words import CTX


def lookups(function: Any, *, timeout: float = 20.0, threads: int = 1) -> Lookups:
    """Return lookups by a function."""
    return Lookups(function, timeout=timeout, threads=threads, log=LogBook())


def reason(answers: Mapping[Any, Any], key: Any = "a") -> str:
    """Return why a key is to be tried again."""
    with pytest.raises(Retry) as caught:
        answers[key]
    return caught.value.reason


def test_what_was_found_is_given_to_the_transform() -> None:
    """A key has its value, and what was not asked for is missing as in any mapping."""
    answers = lookups(lambda events, _: {each: each.upper() for each in events})(["a", "b"], CTX)
    assert dict(answers) == {"a": "A", "b": "B"}
    assert (len(answers), answers.get("z")) == (2, None)
    with pytest.raises(KeyError):
        answers["z"]


def test_one_key_may_fail_alone() -> None:
    """A value that is a ``Retry`` is raised where it is asked for, and nowhere else."""
    answers = lookups(lambda *_: {"a": Retry("slow"), "b": 1})(["a", "b"], CTX)
    assert answers["b"] == 1
    assert reason(answers) == "slow"


def test_a_lookup_that_does_not_answer_in_time() -> None:
    """All of its records are tried again; so are those for which no thread is left."""
    never = threading.Event()
    hung = lookups(lambda *_: never.wait() and {}, timeout=0.05)
    assert reason(hung(["a"], CTX)) == "lookup_timed_out"
    assert reason(hung(["a"], CTX)) == "lookup_busy"
    never.set()


@pytest.mark.parametrize(
    ("error", "told"), [(Retry("db_down"), "db_down"), (OSError("refused"), "lookup_failed")]
)
def test_a_lookup_that_raises(error: Exception, told: str) -> None:
    """All of its records are tried again, however they ask."""

    def fail(*_: Any) -> Any:
        raise error

    answers = lookups(fail)(["a"], CTX)
    assert reason(answers) == told
    for ask in (len, list, lambda each: "a" in each, lambda each: each.get("a")):
        with pytest.raises(Retry):
            ask(answers)


def test_lookups_that_never_return_end_the_process() -> None:
    """When they have taken all threads, only a new process can help; its stacks tell where."""
    ended = run_program("""
        import threading
        import time
        from lanternpipe.pipeline import Context
        from lanternpipe.runtime.lookup import Lookups

        def hangs(events, ctx):
            threading.Event().wait()

        asked = Lookups(hangs, timeout=0.05, threads=1, log=print)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            asked(["a"], Context(0, None))
    """)
    assert ended.returncode == EXIT_HUNG
    assert "a lookup has not returned for 0.5 s" in ended.stderr
    assert "in hangs" in ended.stderr


def test_nobody_is_asked_about_nothing() -> None:
    """A batch of which nothing could be decoded needs no lookup."""

    def fail(*_: Any) -> Any:
        raise AssertionError

    assert lookups(fail)([], CTX) == {}
