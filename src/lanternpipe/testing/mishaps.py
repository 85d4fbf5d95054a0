"""What may go wrong in a drill: where a process may die, and how calls may fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias, get_args

from lanternpipe.errors import AbortableFailure, FencedFailure, KafkaFailure, RetriableFailure
from lanternpipe.settings import Settings
from lanternpipe.testing.life import Life

CrashPoint: TypeAlias = Literal["before_send", "before_commit", "commit_lost", "commit_done"]
"""Where a process dies: before anything was sent; with everything sent; within the commit, which
did not reach the broker; within the commit, which did, though nobody was told."""

Call: TypeAlias = Literal[
    "init", "send", "send_offsets", "commit", "abort", "commit_offsets", "committed", "start_at"
]
"""A call to the broker; ``commit_offsets`` belongs to at least once, ``send_offsets``, ``commit``
and ``abort`` to exactly once."""

Kind: TypeAlias = Literal["retriable", "doubtful", "abortable", "fenced"]
"""How a call fails: to be made again; likewise, and its outcome is unknown; the transaction is to
be aborted; the producer has been replaced."""

CRASH_POINTS: tuple[CrashPoint, ...] = get_args(CrashPoint)
FAILURES: dict[Kind, Callable[[], KafkaFailure]] = {
    "retriable": lambda: RetriableFailure("COORDINATOR_LOAD_IN_PROGRESS", "asking"),
    "doubtful": lambda: RetriableFailure("_TIMED_OUT", "asking", indefinite=True),
    "abortable": lambda: AbortableFailure("ILLEGAL_GENERATION", "asking"),
    "fenced": lambda: FencedFailure("PRODUCER_FENCED", "asking"),
}


class CrashError(BaseException):
    """Raised where the process dies; nothing may catch it on its way."""


class Mishap(NamedTuple):
    """Something that is to happen to a process.

    Attributes:
        text: What.
        happen: Lets it happen, if it can just now; tells whether it did.
    """

    text: str
    happen: Callable[[Life], bool]


def crash_call(at: CrashPoint, settings: Settings) -> tuple[Call, bool]:
    """Return the call in which the process dies, and whether it is carried out."""
    if at == "before_send":
        return "send", False
    if settings.delivery == "at-least-once":
        return "commit_offsets", at == "commit_done"
    return ("send_offsets" if at == "before_commit" else "commit"), at == "commit_done"
