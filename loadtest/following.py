"""What Locust learns while it runs, from its senders, from those of its workers, and the reader.

Folds it into Locust's statistics, so that its web page, its tables and its files show it.

Locust's event for one request costs 20 µs, which at a few thousand records a second would be most
of what a generator does; so counts are folded in once a second. Only what fails is an event of its
own, for whoever listens.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from subprocess import PIPE
from typing import Any

import gevent
from gevent.subprocess import Popen
from locust.env import Environment
from locust.stats import StatsEntry, bucket_response_time

from loadtest.lanes import Sent
from loadtest.latencies import Latencies
from loadtest.search import Window
from loadtest.tally import Tally

KIND = "kafka"
START_SECONDS = 30.0
END_SECONDS = 30.0  # for the reader to say what it has found, behind what it waits for


class ReaderError(RuntimeError):
    """The reader cannot go on, or says nothing."""


class Reader:
    """The process that sees what comes out.

    Args:
        run: What the keys of the run begin with.
        drain: Seconds that it waits in the end for what has not been seen.

    Attributes:
        account: What became of all records, at the end.
    """

    def __init__(self, run: str, drain: float) -> None:
        self._drain = drain
        command = [sys.executable, "-m", "loadtest.reader", run, "--drain", str(drain)]
        self._process = Popen(command, stdin=PIPE, stdout=PIPE, text=True)
        self._ready = gevent.event.Event()
        self._new = Tally()
        self.account: dict[str, Any] | None = None
        self._listening = gevent.spawn(self._listen)
        if not self._ready.wait(START_SECONDS):
            self.close()
            raise ReaderError("the reader of outputs and dead letters has not started; see above")

    @property
    def has_died(self) -> bool:
        """Whether it has ended before it had said all."""
        return self._listening.dead and self.account is None

    def taken(self) -> Tally:
        """Return what it has told since last asked."""
        new, self._new = self._new, Tally()
        return new

    def finish(self, streams: Iterable[Sent]) -> dict[str, Any]:
        """Tell what was sent, and wait for what became of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(list(streams)) + "\n")
        self._process.stdin.flush()
        self._listening.join(self._drain + END_SECONDS)
        if self.account is None:
            self.close()
            raise ReaderError("the reader has ended without its account of what it has seen")
        return self.account

    def close(self) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            self._new.merge(Tally.of_json(told.get("seconds", {})))
            self.account = told.get("account")
            if "state" in told:
                self._ready.set()


class Following:
    """All that is known of a run so far, by second.

    Args:
        environment: Locust's.

    Attributes:
        tally: What happened in each second.
        streams: What has been sent in all, once senders have ended.
    """

    def __init__(self, environment: Environment) -> None:
        self._stats = environment.stats
        self.tally = Tally()
        self.streams: list[Sent] = []

    def take_sent(self, news: Tally, *, fold: bool) -> None:
        """Take what senders have counted; fold it in where Locust does not get it from workers."""
        self.tally.merge(news)
        if fold:
            self.fold_sent(news)

    def fold_sent(self, news: Tally) -> None:
        """Show what senders have counted."""
        for at, second in news.items():
            fold(self._stats.get("send delay", KIND), at, second.delay)
            fold(self._stats.get("acknowledged", KIND), at, second.ack)

    def take_seen(self, news: Tally) -> None:
        """Take what the reader has told, and show it; Locust's totals are these, too."""
        self.tally.merge(news)
        for at, second in news.items():
            for entry in (self._stats.get("end to end", KIND), self._stats.total):
                fold(entry, at, second.end_to_end)

    def window(self) -> Window:
        """Return what the last second was like of which all have told."""
        at = int(time.time()) - 2
        told = [second for when, second in self.tally.items() if when <= at]
        second = self.tally[at]
        behind = sum(each.sent - each.undelivered - each.seen - each.dead for each in told)
        return Window(at, behind, second.sent, second.end_to_end, second.delay)

    def words(self) -> str:
        """Return how it goes, for people."""
        second, window = self.tally[int(time.time()) - 2], self.window()
        seen = window.end_to_end.percentile(0.99)
        p99 = "-" if seen is None else f"{seen:,}"
        return (
            f"sent {second.sent:,}/s  seen {second.seen + second.dead:,}/s  "
            f"on their way {window.behind:,}  p99 {p99} ms"
        )


def fold(entry: StatsEntry, at: int, latencies: Latencies) -> None:
    """Add latencies of one second to an entry of Locust's, as it would have counted them."""
    counts = latencies.counts
    if not counts:
        return
    more = StatsEntry(entry.stats, entry.name, entry.method)
    more.num_requests = latencies.total
    more.total_response_time = sum(value * count for value, count in counts.items())
    more.min_response_time, more.max_response_time = min(counts), max(counts)
    for value, count in counts.items():
        more.response_times[bucket_response_time(value)] += count
    more.num_reqs_per_sec[at] = latencies.total
    more.last_request_timestamp = at + 1
    more.start_time = at
    entry.extend(more)
