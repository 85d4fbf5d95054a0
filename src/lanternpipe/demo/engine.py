"""The demo's running parts: what starts them, and what ends them so that nothing is left open."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from lanternpipe.assembly import build_processor
from lanternpipe.demo.feed import Feed
from lanternpipe.demo.following import Following
from lanternpipe.demo.monitor import Monitor
from lanternpipe.demo.notes import Notes
from lanternpipe.demo.part import Part
from lanternpipe.demo.stage import Stage
from lanternpipe.demo.state import About
from lanternpipe.demo.tracing import Tracing
from lanternpipe.demo.witness import Witness
from lanternpipe.demo.worker import OneToOne, Worker
from lanternpipe.kafka.reader import TopicReader
from lanternpipe.kafka.search import RecordSearch
from lanternpipe.pipeline import Pipeline

# Limits for an end that goes wrong; on a good day all of it takes a third of a second.
FEED_SECONDS = 6.0
DRAIN_SECONDS = 8.0
PROCESSOR_SECONDS = 8.0
WITNESS_SECONDS = 3.0
FOLLOW_SECONDS = 3.0
SETTLE_SECONDS = 0.2  # in which a record that came twice would show
LOOK_SECONDS = 0.02


class Engine:
    """Producer, processor, outside reader and who follows a record, each in a thread.

    Args:
        stage: Where they play.
        pipeline: The user's.
        about: What does not change.
        samples: What is sent, without end.
        rate: Events per second; None for as fast as the pipeline takes them.
        notes: Gets the log lines of all.
        tracing: Traces records.
        clock: Monotonic seconds.
        pause: Waits so many seconds.

    Attributes:
        monitor: Knows how things stand.
    """

    def __init__(
        self,
        stage: Stage,
        pipeline: Pipeline[Any, Any],
        *,
        about: About,
        samples: Iterator[Any],
        rate: float | None,
        notes: Notes,
        tracing: Tracing,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._pause = pause
        kafka, names = stage.settings.kafka, stage.names
        self._feed = Feed(
            replace(pipeline.input, name=names.input),
            kafka,
            samples,
            rate=rate,
            finished=self._finished,
            log=notes,
            tracing=tracing.sends,
        )
        one_to_one = OneToOne(pipeline.transform, pipeline.output.event)
        watched = replace(pipeline, transform=one_to_one)
        self._worker = Worker(
            build_processor(
                stage.settings, watched, notes, ends=self._feed, tracing=tracing.records
            )
        )
        self._witness = Witness(names.output)
        reader = TopicReader(kafka, [names.output, names.dead_letters], log=notes)
        following = Following(
            kafka.group_id,
            traces=tracing.recent.crossed,
            came_out=self._witness.came_out,
            committed=self._worker.committed,
        )
        search = RecordSearch(kafka, log=notes)
        self._sending = Part("feed", self._feed.run)
        self._processing = Part("processor", self._worker.run)
        self._watching = Part("witness", lambda stop: self._witness.watch(reader, stop))
        self._following = Part("follower", lambda stop: following.watch(search, stop))
        self.monitor = Monitor(
            about,
            feed=self._feed,
            worker=self._worker,
            witness=self._witness,
            one_to_one=one_to_one,
            notes=notes,
            following=following,
            traced=tracing.records is not None,
        )

    @property
    def error(self) -> Exception | None:
        """What ended a part before its time."""
        parts = (self._processing, self._watching, self._sending, self._following)
        return next((part.error for part in parts if part.error is not None), None)

    def start(self) -> None:
        """Start all parts."""
        for part in (self._watching, self._processing, self._sending, self._following):
            part.start()

    def finish(self) -> list[str]:
        """End all parts in the order in which records flow; return those that hang."""
        parts = (self._sending, self._processing, self._watching, self._following)
        ended = [self._sending.end(FEED_SECONDS)]
        self._until(self._drained, DRAIN_SECONDS)
        ended.append(self._processing.end(PROCESSOR_SECONDS))
        self._until(self._witnessed, WITNESS_SECONDS)
        self._pause(SETTLE_SECONDS)
        ended.append(self._watching.end(WITNESS_SECONDS))
        ended.append(self._following.end(FOLLOW_SECONDS))
        return [part.name for part, done in zip(parts, ended, strict=True) if not done]

    def _finished(self) -> int:
        """Return how many records are no longer on their way, as far as anybody can tell."""
        return min(self._worker.books.finished, self._witness.seen + self._worker.books.filtered)

    def _drained(self) -> bool:
        books = self._worker.books
        return books.finished >= self._feed.acknowledged or not self._processing.alive

    def _witnessed(self) -> bool:
        books = self._worker.books
        expected = books.processed + books.dead_lettered
        return self._witness.seen >= expected or not self._watching.alive

    def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        end = self._clock() + seconds
        while not condition() and self._clock() < end:
            self._pause(LOOK_SECONDS)
