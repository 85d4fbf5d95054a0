"""What is replayed of a dead letter, and why some are not. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from lanternpipe import headers
from lanternpipe.letter import Letter
from lanternpipe.ops.mailbox import Filters
from lanternpipe.ops.marks import Mark
from lanternpipe.records import Headers, Outgoing

MARKED: Final = "replayed before"
TRUNCATED: Final = "truncated"
TOO_OFTEN: Final = "replayed too often"
UNREADABLE: Final = "unreadable headers"
ELSEWHERE: Final = "other origin"
LEFT_ALONE: Final = "left alone by --mend"

# Of our own headers, what says which event it is; all else tells of a failure that is over.
KEPT = frozenset(
    {headers.EVENT_ID, *headers.ORIGIN, headers.ORIGIN_TIMESTAMP, headers.ATTEMPT},
)
ALL: Final = Filters()
BATCH_BYTES = 8 * 1024 * 1024
SPURTS = 5  # transactions per second, where a rate is asked for


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for.

    Attributes:
        to: The topic that is written to.
        origin: Where that is the input topic: its name, to leave out letters from elsewhere.
        filters: Which letters are meant.
        again: Whether letters that have been replayed are replayed again.
        max_replays: How often one record may be replayed.
        most: How many letters at most; None for all.
        rate: Letters per second at most; None for as fast as possible.
        batch: Letters of one transaction at most.
        dry: Whether nothing is written.
    """

    to: str
    origin: str | None = None
    filters: Filters = ALL
    again: bool = False
    max_replays: int = 3
    most: int | None = None
    rate: float | None = None
    batch: int = 500
    dry: bool = False

    @property
    def at_once(self) -> int:
        """How many letters one transaction holds, so that a rate is kept within a second, too."""
        if self.rate is None:
            return self.batch
        return max(1, min(self.batch, int(self.rate / SPURTS)))


class Ready(NamedTuple):
    """A letter that is to be replayed.

    Attributes:
        letter: The letter.
        value: The record's value, mended where that was asked for.
        replays: How often the record will have been replayed.
    """

    letter: Letter
    value: bytes | None
    replays: int


def obstacle(letter: Letter, mark: Mark | None, order: Order) -> str | None:
    """Return why a letter cannot or need not be replayed; None if it is to be."""
    if mark is not None and not order.again:
        return MARKED
    if not letter.readable:
        return UNREADABLE
    if letter.cut:
        return TRUNCATED
    if replays_of(letter, mark) >= order.max_replays:
        return TOO_OFTEN
    if order.origin is not None and (letter.origin is None or letter.origin.topic != order.origin):
        return ELSEWHERE
    return None


def replays_of(letter: Letter, mark: Mark | None) -> int:
    """Return how often a record has been replayed: before it became this letter, or after."""
    return max(letter.replays, 0 if mark is None else mark.replays)


def replayed_headers(letter: Letter, replays: int) -> Headers:
    """Return the headers of a replayed record: its own, who it is, and how often it came back."""
    own = [
        (name, content)
        for name, content in letter.record_headers
        if not name.startswith((headers.PREFIX, *headers.DIALECTS))
    ]
    ours = [(name, content) for name, content in letter.headers.items() if name in KEPT]
    return [*own, *ours, (headers.REPLAYS, b"%d" % replays)]


def records_to_write(topic: str, batch: Sequence[Ready]) -> Outgoing:
    """Return the replayed records of some letters.

    Their time is that of the replay. With the time of the origin, a topic that deletes by age
    would delete an old record at once, maybe before anybody has read it; the replay topic takes
    the broker's time anyway. When the event was is told by its header.
    """
    return Outgoing(
        topic,
        [each.letter.key for each in batch],
        [each.value for each in batch],
        [0] * len(batch),
        [replayed_headers(each.letter, each.replays) for each in batch],
    )


def batches(ready: Iterable[Ready], most: int) -> Iterator[list[Ready]]:
    """Yield letters in batches of at most so many, and of not too many bytes."""
    batch: list[Ready] = []
    size = 0
    for each in ready:
        batch.append(each)
        size += len(each.value or b"")
        if len(batch) >= most or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
