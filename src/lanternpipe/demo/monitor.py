"""Puts together what the demo's parts know, twice a second, and makes states from it."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable

from lanternpipe.demo.feed import Feed
from lanternpipe.demo.following import Following
from lanternpipe.demo.notes import Notes
from lanternpipe.demo.series import Series, percentile
from lanternpipe.demo.state import About, Figures, Flow, Flows, State
from lanternpipe.demo.witness import Witness
from lanternpipe.demo.worker import OneToOne, Worker

TICK_SECONDS = 0.5
HISTORY_TICKS = 240  # two minutes, for a wide terminal
RATE_TICKS = 4  # a rate is the mean of two seconds
LATENCY_TICKS = 20  # percentiles are those of the last ten seconds


class Monitor:
    """Looks at feed, worker and witness; belongs to one thread.

    Args:
        about: What does not change.
        feed: Asked what was acknowledged.
        worker: Asked what it has finished.
        witness: Asked what it has seen.
        one_to_one: Tells whether outputs can be counted as events.
        notes: Asked for the last trouble.
        following: Asked for the record that is followed.
        traced: Whether records are traced.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        about: About,
        *,
        feed: Feed,
        worker: Worker,
        witness: Witness,
        one_to_one: OneToOne,
        notes: Notes,
        following: Following,
        traced: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._about = about
        self._feed = feed
        self._worker = worker
        self._witness = witness
        self._one_to_one = one_to_one
        self._notes = notes
        self._following = following
        self._traced = traced
        self._clock = clock
        self._began = self._ticked = clock()
        self._skipped = 0
        self._totals = (0, 0, 0, 0)
        self._flows = tuple(Series(HISTORY_TICKS) for _ in self._totals)
        self._latency = Series(HISTORY_TICKS)
        self._fresh: Counter[int] = Counter()
        self._window: deque[Counter[int]] = deque(maxlen=LATENCY_TICKS)
        self._whole: Counter[int] = Counter()
        self._lately: Counter[int] = Counter()
        self._glance = witness.glance()

    def look(self) -> State:
        """Return the state of this moment."""
        now = self._clock()
        self._glance = glance = self._witness.glance()
        self._fresh.update(glance.latency)
        self._whole.update(glance.latency)
        figures = self._account()
        self._tell_skipped()
        self._tick(now, figures)
        status, flowing = self._status(figures)
        lag = self._worker.lag()
        return State(
            about=self._about,
            status=status,
            flowing=flowing,
            elapsed=now - self._began,
            figures=figures,
            flows=Flows(*(Flow(each.recent(RATE_TICKS), each.values()) for each in self._flows)),
            lag_records=lag.records,
            lag_seconds=lag.seconds,
            p50_ms=percentile(self._lately, 0.5),
            p99_ms=percentile(self._lately, 0.99),
            latency=self._latency.values(),
            kinds=tuple(glance.kinds.most_common()),
            letter=glance.letter,
            events=glance.events,
            trouble=self._notes.last,
            followed=self._following.followed,
            traced=self._traced,
        )

    def _account(self) -> Figures:
        """Return the account."""
        books = self._worker.books
        produced = self._feed.acknowledged
        first_at, last_at = self._feed.first_at, self._worker.last_at
        return Figures(
            produced=produced,
            processed=self._glance.processed if self._one_to_one.holds else books.processed,
            filtered=books.filtered,
            dead_lettered=self._glance.dead_lettered,
            in_flight=produced - books.finished,
            seconds=0.0 if first_at is None else max(0.0, last_at - first_at),
            p50_ms=percentile(self._whole, 0.5),
            p99_ms=percentile(self._whole, 0.99),
        )

    def _tick(self, now: float, figures: Figures) -> None:
        """Close half a second, if it is over."""
        if now - self._ticked < TICK_SECONDS:
            return
        seconds, self._ticked = now - self._ticked, now
        totals = (figures.produced, figures.processed, figures.filtered, figures.dead_lettered)
        for series, total, before in zip(self._flows, totals, self._totals, strict=True):
            series.add((total - before) / seconds)
        self._totals = totals
        self._latency.add(percentile(self._fresh, 0.5) or 0)
        self._window.append(self._fresh)
        self._fresh = Counter()
        self._lately = sum(self._window, Counter())

    def _tell_skipped(self) -> None:
        """Speak up when offsets have a gap: a broker in memory drops the oldest without a word."""
        if (skipped := self._worker.books.skipped) > self._skipped:
            self._skipped = skipped
            self._notes("error", "records_vanished_before_they_were_processed", records=skipped)

    def _status(self, figures: Figures) -> tuple[str, bool]:
        if not figures.produced:
            return "making up sample events", False
        if not self._worker.joined:
            return "producing; the processor is joining the group", False
        if not figures.processed:
            return "producing; the processor has joined", False
        return "records are flowing", True
