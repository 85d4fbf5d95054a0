"""Sees what comes out, as any reader of committed records would; a process of its own.

A busy generator would be late to look, and its lateness would be the pipeline's. Tells by JSON
lines on stdout what it has seen in each second, and by a last one, when it was told on stdin what
was sent, what has become of all records.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from lanternpipe.app import load_pipeline
from lanternpipe.environment import load_settings
from lanternpipe.headers import ORIGIN_TIMESTAMP
from lanternpipe.kafka.reader import TopicReader
from lanternpipe.records import Records
from lanternpipe.topology import topic_names
from loadtest.lanes import DEAD_LETTER, OUTPUT, Account, Lanes, Sent, settle
from loadtest.tally import Tally

TELL_SECONDS = 0.25
FETCH = 5_000
SETTLE_SECONDS = 0.5  # in which a record that came twice would show
READY = "ready"


class Sight:
    """What was seen so far.

    Args:
        run: Tells our records from all others.
        dead_letters: The topic that holds what the pipeline gave up.
    """

    def __init__(self, run: str, dead_letters: str) -> None:
        self._lanes = Lanes(run)
        self._dead_letters = dead_letters
        self.tally = Tally()

    def take(self, runs: Iterable[Records], now: float) -> None:
        """Take records, seen now."""
        second = self.tally[int(now)]
        now_ms = round(now * 1_000)
        for run in runs:
            lanes = map(self._lanes.__getitem__, (key or b"" for key in run.keys))
            if run.source.topic == self._dead_letters:
                stamps: Iterable[int] = map(origin, range(len(run)), [run] * len(run))
                for lane, stamp in zip(lanes, stamps, strict=True):
                    second.dead += lane is not None and lane.see(stamp, DEAD_LETTER)
                continue
            latencies = [
                now_ms - stamp
                for lane, stamp in zip(lanes, run.timestamps, strict=True)
                if lane is not None and lane.see(stamp, OUTPUT)
            ]
            second.seen += len(latencies)
            second.end_to_end.add(latencies)

    def account(self, streams: list[Sent]) -> Account:
        """Hold what was seen against what was sent."""
        return settle(self._lanes, streams)


def origin(at: int, letters: Records) -> int:
    """Return when the record of a dead letter was due; the letter itself has its own time."""
    headers = dict((letters.headers[at] if letters.headers else None) or [])
    return int(headers.get(ORIGIN_TIMESTAMP) or letters.timestamps[at])


def tell(**what: Any) -> None:
    """Write a line."""
    print(json.dumps(what), flush=True)


def main() -> None:
    """Read until all that was sent is accounted for, or the time for that is over."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", help="what the keys of the run begin with")
    parser.add_argument("--drain", type=float, default=60.0, help="seconds to wait in the end")
    options = parser.parse_args()
    settings = load_settings()
    names = topic_names(settings, load_pipeline(settings.app))
    topics = (names.output, names.dead_letters)
    reader = TopicReader(settings.kafka, topics, log=lambda *_, **__: None, newest=True)
    sight = Sight(options.run, names.dead_letters)
    asked: list[list[Sent]] = []
    listening = threading.Thread(target=lambda: asked.append(told(sys.stdin.readline())))
    listening.daemon = True  # who has started us may have gone without a word
    listening.start()
    tell(state=READY)
    told_at = time.monotonic()
    end, complete_at = float("inf"), float("inf")
    while (now := time.monotonic()) < min(end, complete_at + SETTLE_SECONDS):
        fetched = reader.fetch(FETCH, 0.05)
        sight.take(fetched.runs, time.time())
        if now - told_at >= TELL_SECONDS:
            told_at = now
            tell(seconds=sight.tally.taken())
            if asked:
                end = min(end, now + options.drain)
                if complete_at == float("inf") and not sight.account(asked[0]).lost:
                    complete_at = now
        if not listening.is_alive() and not asked:
            return  # nobody is there any more
    tell(seconds=sight.tally.taken())
    tell(account=msgspec.structs.asdict(sight.account(asked[0])))
    reader.close()


def told(line: str) -> list[Sent]:
    """Read what was sent; what is no such line ends the thread, and so the process."""
    return msgspec.json.decode(line, type=list[Sent])


if __name__ == "__main__":
    main()
