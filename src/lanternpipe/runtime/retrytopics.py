"""Records on their way through the retry topics: the original, and when it is due. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lanternpipe import headers
from lanternpipe.records import TRACEPARENT, Headers, Outgoing, Records
from lanternpipe.runtime.deadletter import Cause
from lanternpipe.runtime.hops import attempts, credible, number, provenance, split


class Tier(NamedTuple):
    """One retry topic.

    Attributes:
        topic: Its name.
        wait: Seconds that a record spends there.
    """

    topic: str
    wait: int


class RetryTopics:
    """Writes the envelope of records that are to be tried again.

    Args:
        tiers: In the order in which a record goes through them.
    """

    def __init__(self, tiers: Sequence[Tier]) -> None:
        self._tiers = tiers

    def next_tier(self, records: Records, place: int) -> Tier | None:
        """Return where a record goes that has failed once more; None when it has been everywhere.

        A replay does not carry the number of tiers on: who replays wants new attempts.
        """
        carried = records.carried.get(records.offsets[place], {})
        through = number(carried.get(headers.RETRY_TIER), 0)
        return self._tiers[through] if through < len(self._tiers) else None

    def envelope(
        self, records: Records, causes: Mapping[int, tuple[Tier, Cause]], now: int
    ) -> list[Outgoing]:
        """Return the records at the given places for their topics.

        Key, value and headers are the original ones; the broker stamps the time, or retention
        would delete an old record before it is due.

        Args:
            records: The run.
            causes: Where each record goes and why, by its place.
            now: Seconds since 1970, rounded down.
        """
        found: dict[str, Outgoing] = {}
        for place, (tier, cause) in sorted(causes.items()):
            batch = found.setdefault(tier.topic, Outgoing(tier.topic, [], [], [], []))
            batch.keys.append(records.keys[place])
            batch.values.append(records.values[place])
            batch.timestamps.append(0)
            assert batch.headers is not None
            # A second more, as what is rounded down must not make it early.
            due = (now + 1 + tier.wait) * 1_000
            through = self._tiers.index(tier) + 1
            batch.headers.append(_headers(records, place, cause, due, through))
        return [*found.values()]


def _headers(records: Records, place: int, cause: Cause, due: int, through: int) -> Headers:
    foreign, there = split((records.headers[place] if records.headers else None) or [])
    own = {**credible(there), **records.carried.get(records.offsets[place], {})}
    if cause.traceparent is not None:
        foreign = [each for each in foreign if each[0] != TRACEPARENT]
        foreign.append((TRACEPARENT, cause.traceparent))
    return [
        *(each for each in foreign if each[0] != headers.EVENT_ID),
        *provenance(records, place, own).items(),
        (headers.ATTEMPT, b"%d" % (attempts(own) + cause.attempts)),
        (headers.RETRY_DUE, b"%d" % due),
        (headers.RETRY_TIER, b"%d" % through),
        (headers.ERROR_KIND, cause.kind.encode("utf-8", "backslashreplace")),
    ]
