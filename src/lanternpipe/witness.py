"""What ``lanternpipe lag --serve`` runs: the group as the broker sees it, as metrics.

A process of its own, beside the processors: it goes on telling when none of them is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from lanternpipe.errors import ConfigError, KafkaFailure, RefusedFailure, TopicError
from lanternpipe.kafka.admin import open_admin
from lanternpipe.kafka.config import client_config
from lanternpipe.kafka.groups import members_of
from lanternpipe.kafka.rotation import Rotation
from lanternpipe.kafka.topics import topic_config
from lanternpipe.ops.lag import LagReader
from lanternpipe.ops.outside import Kept, Look, samples
from lanternpipe.ports import Log
from lanternpipe.publish import build_sample, log_samples
from lanternpipe.runtime.endpoint import serve
from lanternpipe.runtime.health import Health
from lanternpipe.runtime.lifecycle import StopRequest
from lanternpipe.settings import KafkaSettings, Settings
from lanternpipe.telemetry.logs import PipelineLog
from lanternpipe.telemetry.metrics import Sample, open_metrics

STUCK_SECONDS = 120.0  # longer than the slowest look at a broker that is away
# Old numbers look like good ones: rather none, which alerts notice.
MISSED_LOOKS = 3
GRACE_SECONDS = 10.0


class Witness:
    """Keeps the latest look at a group.

    Args:
        look: Takes one.
        health: Told whether there are answers.
        every: Seconds between two looks.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        look: Callable[[], Look],
        health: Health,
        *,
        every: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._look = look
        self._health = health
        self._fresh = MISSED_LOOKS * every + GRACE_SECONDS
        self._clock = clock
        self._last: Look | None = None

    def refresh(self) -> None:
        """Look now; without an answer the last look stays for a while."""
        self._health.beat()
        try:
            self._last = self._look()
        except KafkaFailure as failure:
            self._health.wait(failure.code)
            self._health.unready(f"no answer: {failure}")
        except (TopicError, ConfigError) as error:  # files that are just being replaced
            self._health.unready(str(error))
        else:
            self._health.flows()
            self._health.joined()
            self._health.unready(None)

    def seen(self, group: str) -> Iterator[Sample]:
        """Yield what was seen last, or only when that was if it is long ago."""
        if self._last is None:
            return
        every = samples(group, self._last)
        yield next(every)
        if self._clock() - self._last.at <= self._fresh:
            yield from every


class Looks:
    """Takes looks, by new clients whenever passwords or certificates have changed.

    Args:
        open_clients: Returns what takes looks by new clients.
        kafka: The connection.
        log: Writes log lines.
    """

    def __init__(
        self, open_clients: Callable[[], Callable[[], Look]], kafka: KafkaSettings, log: Log
    ) -> None:
        self._open_clients = open_clients
        self._look: Callable[[], Look] | None = open_clients()
        self._rotation = Rotation(kafka.security, [self], log=log)
        self._version = self._rotation.version

    def __call__(self) -> Look:
        """Take one."""
        self._rotation.look()
        version = self._rotation.version
        if self._look is None or self._version != version:
            self._look = self._open_clients()
            self._version = version
        return self._look()

    def log_in_with(self, username: str, password: str) -> None:  # noqa: ARG002  # in their files
        """Use this from the next look on."""
        self._look = None


def serve_lag(
    settings: Settings,
    kafka: KafkaSettings,
    topics: Sequence[str],
    log: PipelineLog,
    *,
    every: float,
) -> None:
    """Look at a group again and again, and serve what was seen, until asked to stop.

    Args:
        settings: What is in force.
        kafka: The connection and the group.
        topics: What the group reads.
        log: Writes log lines.
        every: Seconds between two looks.

    Raises:
        ConfigError: The address cannot be listened on.
    """
    health = Health(
        stuck_after=STUCK_SECONDS,
        log=log,
        until_ready="the broker has not answered yet",
        once_ready="the broker answers",
    )
    witness = Witness(Looks(partial(_looks, kafka, topics, log), kafka, log), health, every=every)

    def shown() -> Iterator[Sample]:
        yield build_sample()
        yield from log_samples(log)
        yield from witness.seen(kafka.group_id)

    stop = StopRequest(settings.shutdown_grace, health.stopping)
    http = settings.http
    with stop.on_signals(), serve(http, health, open_metrics(shown), log) as port:
        log("info", "serving", metrics=http.metrics_url(port))
        while not stop():
            witness.refresh()
            stop.wait(every)


def _looks(kafka: KafkaSettings, topics: Sequence[str], log: PipelineLog) -> Callable[[], Look]:
    reader = LagReader(kafka, topics, log=log)
    admin = open_admin(client_config(kafka), log=log)

    def kept(topic: str) -> Kept:
        try:
            return Kept.of(topic_config(admin, topic))
        except RefusedFailure:  # we may not know; all the rest can be told
            return Kept(None, None)

    def look() -> Look:
        admin.poll(0)  # serves log lines and errors, which would pile up
        lags = reader.read()
        members = members_of(admin, kafka.group_id)
        return Look(lags, members, {topic: kept(topic) for topic in topics}, time.time())

    return look
