"""One run: a process drains a topic, and is measured from outside.

Within a window, by default between 15 % and 95 % of the records: CPU time of the whole process, all
threads, from ``/proc``; progress from the ends of what is committed in the output topic. Outputs of
a transaction are seen all at once, so a window begins and ends when something new was seen: else
CPU time would count whose outputs do not.

Left out: start-up (told apart as seconds to the first output and to full speed), scrapes of
``/metrics``, and a network.
"""

from __future__ import annotations

import math
import os
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import NamedTuple

import msgspec

from benchmarks.broker import Broker
from benchmarks.contender import Contender
from benchmarks.machine import busy_seconds, calm, cpu_seconds, peak_rss_mib

SAMPLE_SECONDS = 0.1
LEAST_SECONDS = 1.0
STUCK_SECONDS = 60.0

Start = Callable[[str], AbstractContextManager[Contender]]
"""Starts a contender that writes to the given output topic."""


class Sample(NamedTuple):
    """One look at a run: seconds, records done, and CPU seconds used so far."""

    at: float
    done: float
    process: float
    broker: float
    machine: float


class Window(NamedTuple):
    """Which part of a run counts.

    Attributes:
        low: From this share of the records on.
        high: Up to this share.
        skip: Not before so many seconds have gone by since the first output: a JVM has to warm up.
        most: Not more than so many seconds; who has not done all by then is ended.
    """

    low: float = 0.15
    high: float = 0.95
    skip: float = 0.0
    most: float = math.inf

    def of(self, samples: list[Sample], records: int) -> list[Sample]:
        """Return the samples that count, of those in which something new was seen. Pure."""
        first = next((sample.at for sample in samples if sample.done), math.inf)
        begin = first + self.skip
        return [
            sample
            for before, sample in pairwise(samples)
            if sample.done > before.done
            and self.low * records <= sample.done <= self.high * records
            and begin <= sample.at <= begin + self.most
        ]


ALL_BUT_ENDS = Window()


class Run(msgspec.Struct):
    """What one run of one contender measured."""

    contender: str
    records_per_second: float
    cpu_us: float
    broker_cpu_us: float
    rss_mib: float
    full_speed_s: float
    foreign_cores: float
    first_s: float = 0.0


def drain(
    contender: str,
    start: Start,
    output: str,
    broker: Broker,
    records: int,
    kept: float,
    window: Window = ALL_BUT_ENDS,
) -> Run:
    """Let a contender drain the input into a topic of its own.

    Args:
        contender: Its name.
        start: Starts it.
        output: The topic.
        broker: Where.
        records: How many the input holds.
        kept: Share of them that is not filtered out.
        window: What counts.
    """
    broker.create(output)
    began = moved = time.monotonic()
    samples: list[Sample] = []
    with start(output) as process:
        end = math.inf
        while not samples or (round(samples[-1].done) < records and samples[-1].at < end):
            now = time.monotonic()
            process.check(stuck=now - moved > STUCK_SECONDS)
            sample = Sample(
                now - began,
                broker.written(output) / kept,
                sum(map(cpu_seconds, process.pids)),
                cpu_seconds(broker.pid) if broker.pid else 0.0,
                busy_seconds() - cpu_seconds(os.getpid()),
            )
            if not samples or sample.done > samples[-1].done:
                moved = now
            if sample.done and end == math.inf:
                end = sample.at + window.skip + window.most
            samples.append(sample)
            time.sleep(SAMPLE_SECONDS)
        rss = max(map(peak_rss_mib, process.pids))
    broker.delete(output)
    return summary(contender, samples, window.of(samples, records), rss)


def summary(contender: str, samples: list[Sample], counted: list[Sample], rss: float) -> Run:
    """Work out the figures of a run from those of its samples that count. Pure."""
    first, last = (counted[0], counted[-1]) if counted else (samples[0], samples[0])
    seconds, done = last.at - first.at, last.done - first.done
    if seconds < LEAST_SECONDS:
        raise SystemExit(f"{contender}: too quick to be measured; give more records")
    process, broker = last.process - first.process, last.broker - first.broker
    speed = done / seconds
    # The first half second in which it went at nine tenths of its speed.
    span = round(0.5 / SAMPLE_SECONDS)
    full = next(
        (
            one.at
            for one, other in zip(samples, samples[span:], strict=False)
            if other.done - one.done >= 0.9 * speed * (other.at - one.at)
        ),
        first.at,
    )
    return Run(
        contender,
        speed,
        process / done * 1e6,
        broker / done * 1e6,
        rss,
        full,
        (last.machine - first.machine - process - broker) / seconds,
        next(sample.at for sample in samples if sample.done),
    )


def calm_drain(
    contender: str,
    start: Start,
    broker: Broker,
    records: int,
    kept: float,
    window: Window = ALL_BUT_ENDS,
) -> Run:
    """Drain while nobody else uses the machine, and say what came of it."""

    def once() -> Run:
        output = f"bench-output-{uuid.uuid4().hex[:8]}"
        run = drain(contender, start, output, broker, records, kept, window)
        print(
            f"{contender:42} {run.records_per_second:9,.0f} records/s  {run.cpu_us:5.2f} µs  "
            f"{run.rss_mib:4.0f} MiB  full speed after {run.full_speed_s:.1f} s  "
            f"others {run.foreign_cores:.2f} cores",
            flush=True,
        )
        return run

    return calm(once)
