"""Drives a user's pipeline through everything that goes wrong, with no broker, in milliseconds."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from lanternpipe.codec.json import JsonCodec
from lanternpipe.letter import Letter
from lanternpipe.pipeline import Pipeline, RawRecord, Topic
from lanternpipe.records import Headers, Place, TopicPartition
from lanternpipe.runtime.outcomes import Outcome
from lanternpipe.settings import Settings
from lanternpipe.testing.doubles import Clock, LogBook
from lanternpipe.testing.fake_broker import FakeBroker, Stored, Written
from lanternpipe.testing.ledger import Ledger, unmarked
from lanternpipe.testing.life import Given, Parts
from lanternpipe.testing.rig import DrillError
from lanternpipe.testing.storm import gust
from lanternpipe.testing.trouble import Trouble
from lanternpipe.topology import topic_names

In = TypeVar("In")
Out = TypeVar("Out")

NOW = 1_700_000_000
AN_HOUR = 3_600.0
STORM_TURNS = 60
LAST_TURNS = 5  # in which what is planned may still happen, once all is processed


class Drill(Trouble[Out], Generic[In, Out]):
    """A pipeline on a broker in memory.

    The loop is the one that runs in production; clients, clock and chance are made up, so a drill
    goes the same way every time. The clock moves only while everything waits. What becomes visible
    is judged commit by commit.

    Args:
        pipeline: Yours.
        settings: Your pipeline's own settings: an object of them, or some of them by name.
        now: Seconds since 1970.
        delivery: As ``PIPELINE_DELIVERY``.
        partitions: How many the input has.
        seed: Decides what is left to chance.
        runtime: Further settings by name, as ``{"retry": {"max_attempts": 3}}``. Those in the
            environment are not read.
        parts: What the processor is made of.

    Attributes:
        clock: Tells the time of the drill.
        log: The lines that the processor logged.
    """

    def __init__(
        self,
        pipeline: Pipeline[In, Out],
        *,
        settings: BaseModel | Mapping[str, Any] | None = None,
        now: float = NOW,
        delivery: Literal["exactly-once", "at-least-once"] = "exactly-once",
        partitions: int = 3,
        seed: int = 0,
        runtime: Mapping[str, Any] | None = None,
        parts: Parts | None = None,
    ) -> None:
        self.clock = Clock(now)
        self.log = LogBook()
        self._pipeline = pipeline
        ours = _GivenSettings(**{**(runtime or {}), "delivery": delivery})
        self._names = names = topic_names(ours, pipeline)
        self._broker = FakeBroker(
            {
                TopicPartition(topic, number): []
                for topic in (names.input, *names.retries)
                for number in range(partitions)
            },
            now=lambda: int(self.clock() * 1_000),
        )
        self._ledger = Ledger(
            self._broker, exactly_once=delivery == "exactly-once", ordered=not names.retries
        )
        if not isinstance(settings, BaseModel):
            settings = pipeline.settings.model_validate(settings or {})
        rng = random.Random(seed)  # noqa: S311  # a drill needs no cryptography
        given = Given(
            ours,
            pipeline,
            settings,
            self._broker,
            self._ledger,
            self.clock,
            self.log,
            rng.random,
            parts or Parts(),
        )
        super().__init__(given, names.output, seed, rng)

    # What comes in.

    def send(
        self,
        event: In | RawRecord | None = None,
        *,
        key: bytes | None = None,
        value: bytes | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
        timestamp: int | None = None,
    ) -> Place:
        """Write one record to the input topic; return where it is.

        Args:
            event: Encoded as the pipeline does, with the key that its topic declares.
            key: Key bytes; in place of the event's own.
            value: Value bytes in place of an event; neither is a tombstone.
            headers: Of the record.
            partition: By default the one that the key says.
            timestamp: In milliseconds since 1970; by default now.
        """
        if isinstance(event, RawRecord):
            key, value = event.key if key is None else key, event.value
        elif event is not None:
            topic = self._pipeline.input
            value = JsonCodec(topic.event).encode(event)
            if key is None and topic.key is not None:
                own = topic.key(event)
                key = own.encode() if isinstance(own, str) else own
        stamp = int(self.clock() * 1_000) if timestamp is None else timestamp
        return self._rig.append(self._names.input, partition, Stored(value, key, stamp, headers))

    def storm(self, seed: int, *, turns: int = STORM_TURNS) -> None:
        """Process what was sent while everything goes wrong, then calm down and ``run``.

        Args:
            seed: Decides what goes wrong, and when.
            turns: Most turns of the loop that it lasts.
        """
        self._rig.seed += f", storm({seed}, turns={turns})"
        rng = self._random = random.Random(seed)  # noqa: S311  # as above
        for _ in range(turns):
            if self._rig.finished():
                break
            self._rig.commits_due = rng.random() < 0.5
            self._rig.most, self._rig.run_length = rng.randint(1, 6), rng.randint(1, 3)
            gust(rng, self, exactly_once=self._given.settings.delivery == "exactly-once")
            self._rig.turn()
        self._rig.note("calm")
        self._rig.calm()
        self.run()

    # How it goes on.

    def turn(self, count: int = 1) -> None:
        """Do some turns of the loop; each fetches, processes and commits what there is."""
        for _ in range(count):
            self._rig.turn()

    def run(self, *, within: float = AN_HOUR) -> None:
        """Go on until all is processed and committed, and all that was planned has happened.

        Args:
            within: Seconds of the drill's time.

        Raises:
            DrillError: Something was lost or repeated, or is not done in time.
        """
        rig, until = self._rig, self.clock() + within
        while not rig.finished():
            if self.clock() > until:
                places = ", ".join(map(str, rig.waiting()))
                raise DrillError(f"not processed within {within:g} s: {places}{rig.story()}")
            rig.turn()
        for _ in range(LAST_TURNS):
            if rig.planned() or rig.later:
                rig.turn()
        planned = self._never_happened()
        if planned or not rig.finished():
            raise DrillError(
                f"planned, but it never happened: {', '.join(planned)}. Plan it before the records "
                f"that it is to hit are processed{rig.story()}"
            )
        rig.check()
        if open_work := rig.in_flight():
            raise DrillError(
                f"all is committed, and {open_work} deliveries are worked on once more{rig.story()}"
            )

    def stop(self) -> None:
        """Let the process finish and leave its group, as at a deployment; another comes."""
        self._rig.stop()

    def check(self) -> None:
        """Hold that all is right so far.

        Raises:
            DrillError: It is not; the message tells what happened before.
        """
        self._rig.check()

    # What came out.

    @property
    def outputs(self) -> list[Out]:
        """The events in the output topic, in order; committed ones only."""
        return self.outputs_to(self._pipeline.output)

    def outputs_to(self, topic: Topic[Any]) -> list[Any]:
        """Return the events in a topic that the pipeline declares."""
        name = self._names.output if topic is self._pipeline.output else topic.name
        decode = JsonCodec(topic.event).decode
        return [decode(each.value) for each in self.records(name)]

    @property
    def dead_letters(self) -> list[Letter]:
        """The dead letters, in order."""
        name = self._names.dead_letters
        return [
            Letter(Place(name, 0, number), each.timestamp, each.key, each.value, each.headers or [])
            for number, each in enumerate(self.records(name))
        ]

    def records(self, topic: str) -> list[Written]:
        """Return the committed records of a topic, by its name on the broker."""
        return [
            each._replace(headers=unmarked(each.headers) or None)
            for each in self._broker.written
            if each.topic == topic
        ]

    @property
    def filtered(self) -> dict[str, int]:
        """How many records were filtered, by the reason of ``Skip``."""
        return self._reasons("filtered", self.fates.values())

    @property
    def retried(self) -> dict[str, int]:
        """How often a record was to be tried again, by the reason of ``Retry``."""
        return self._reasons("retried", [*self._rig.outcomes().elements()])

    @property
    def fates(self) -> dict[Place, Outcome]:
        """What became of each committed record, as ``("filtered", "old_app_version")``."""
        return dict(self._ledger.fates)

    @property
    def outcomes(self) -> Counter[Outcome]:
        """What all processes have counted, deliveries that were undone among it."""
        return self._rig.outcomes()

    def _reasons(self, name: str, outcomes: Iterable[Outcome]) -> dict[str, int]:
        return dict(Counter(reason for outcome, reason in outcomes if outcome == name))


class _GivenSettings(Settings):
    """Settings that are given, and not read from the environment."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)
