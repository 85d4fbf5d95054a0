"""What is sent, what must become of it, and what the broker said: half of a history."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from threading import Event, Thread
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

from lanternpipe import DeliveryError, EventProducer
from lanternpipe.producer import Delivered
from lanternpipe.records import Headers
from lanternpipe.settings import KafkaSettings
from lanternpipe.testing.history import Ack, Fate, Sent
from logins.events import UserLogin
from logins.pipeline import pipeline
from logins.samples import CURRENT_VERSIONS, OLD_VERSIONS, POISON
from tests.chaos.deployment import Deployment

KEYS = 3_000
FILTERED = 0.05
POISONED = 0.01
TICK = 0.01
# From here on records trickle: every second this share of what is left, so that some flow for as
# long as faults happen, however long that is.
TRICKLE_FROM, TRICKLE_SHARE = 0.9, 0.007
FLUSH_SECONDS = 60.0
# A broker refuses records from more than an hour ahead.
SKEWS_MS = (0, -5 * 3_600_000, 50 * 60_000)


class Record(NamedTuple):
    """One record to be sent. A poisoned value cannot carry its id, so its place stands for it."""

    id: str
    key: str
    sequence: int
    fate: Fate
    value: bytes | None


def workload(
    seed: int, count: int, *, filtered: float = FILTERED, poison: float = POISONED
) -> Iterator[Record]:
    """Make records; the same seed gives the same ids, keys and fates."""
    rng = random.Random(seed)
    encode = msgspec.json.Encoder().encode
    poisons = [*POISON.values()]
    sequences: Counter[str] = Counter()
    for number in range(count):
        key = f"user-{rng.randrange(KEYS)}"
        sequences[key] += 1
        draw = rng.random()
        fate: Fate = "processed"
        if draw < poison:
            fate = "dead_lettered"
        elif draw < poison + filtered:
            fate = "filtered"
        version = rng.choice(OLD_VERSIONS if fate == "filtered" else CURRENT_VERSIONS)
        id_ = f"id-{number}"
        value: bytes | None = encode(
            UserLogin(key, version, "91.42.227.164", "NV", id_, int(time.time()), "iOS")
        )
        if fate == "dead_lettered" and value is not None:
            value = rng.choice(poisons)(value)
        yield Record(id_, key, sequences[key], fate, value)


class Sender:
    """Sends records in a thread of its own, paced until it is told to hurry.

    Args:
        deployment: Where to.
        records: What.
        rate: Records per second; None for as fast as possible.
        skewed: Whether the clock jumps, from record to record, hours back or most of an hour ahead.
    """

    def __init__(
        self,
        deployment: Deployment,
        records: list[Record],
        rate: float | None = None,
        *,
        skewed: bool = False,
    ) -> None:
        self.records = records
        self.placed: dict[str, Record] = {}  # by `topic/partition/offset`
        self._acks: dict[str, Ack] = {}
        self._rate = rate
        self._hurry, self._stop = Event(), Event()
        self._producer = EventProducer(
            replace(pipeline.input, name=deployment.input),
            KafkaSettings(bootstrap_servers=deployment.servers),
            full_timeout=None,
        )
        if skewed:
            self._skew()
        self._thread = Thread(target=self._run, name="sender", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._hurry.set()
        self._thread.join()

    def finish(self) -> None:
        """Send the rest as fast as possible and wait for all acknowledgements."""
        self._hurry.set()
        self._thread.join()

    def hurry(self) -> None:
        """Send the rest as fast as possible."""
        self._hurry.set()

    def history(self) -> list[Sent]:
        """Return what was sent and what the broker said about it."""
        return [
            Sent(each.id, each.key, each.sequence, each.fate, self._acks.get(each.id, "unknown"))
            for each in self.records
        ]

    def _skew(self) -> None:
        """Let the producer's clock be wrong, where it hands records to its client."""
        send = self._producer._client.send

        def skewed(
            topic: str,
            value: bytes | None,
            key: str | bytes | None,
            report: Callable[[Any, Any], None],
            timestamp: int = 0,
            headers: Headers | None = None,
        ) -> bool:
            wrong = timestamp + SKEWS_MS[len(value or b"") % len(SKEWS_MS)]
            return send(topic, value, key, report, wrong, headers)

        self._producer._client.send = skewed  # type: ignore[method-assign]

    def _run(self) -> None:
        sent = 0
        due = 0.0
        before = time.monotonic()
        while sent < len(self.records) and not self._stop.is_set():
            if self._rate is None or self._hurry.is_set():
                due = len(self.records)
            else:
                now = time.monotonic()
                late = sent > TRICKLE_FROM * len(self.records)
                left = len(self.records) - due
                due += (now - before) * (TRICKLE_SHARE * left if late else self._rate)
                before = now
            for record in self.records[sent : int(due)]:
                report = partial(self._delivered, record)
                self._producer.send_raw(record.value, record.key, on_delivery=report)
                sent += 1
                if self._stop.is_set():
                    break
            self._hurry.wait(TICK)
        self._producer.close(0 if self._stop.is_set() else FLUSH_SECONDS)

    def _delivered(
        self, record: Record, error: DeliveryError | None, place: Delivered | None
    ) -> None:
        # An error may be a time-out of a record that has reached the log all the same.
        self._acks[record.id] = "unknown" if place is None else "acknowledged"
        if place is not None:
            self.placed[f"{place.topic}/{place.partition}/{place.offset}"] = record
