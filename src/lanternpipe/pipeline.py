"""What a user declares: topics, a transform over typed events, and samples to try it with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from msgspec import Struct
from pydantic import BaseModel

SettingsT_co = TypeVar("SettingsT_co", covariant=True)
In = TypeVar("In")
Out = TypeVar("Out")


NOTHING: Mapping[Any, Any] = MappingProxyType({})


class Context(Generic[SettingsT_co]):
    """What a transform may know besides its event; one object serves a whole batch.

    Attributes:
        now: Seconds since 1970, taken once per batch.
        settings: The user's own settings, read from ``PIPELINE_APP__...``.
        lookup: What ``Pipeline(lookup=...)`` returned for the batch; to ask for what it could not
            find out raises ``Retry``.
    """

    __slots__ = ("lookup", "now", "settings")

    def __init__(
        self, now: int, settings: SettingsT_co, lookup: Mapping[Any, Any] = NOTHING
    ) -> None:
        self.now = now
        self.settings = settings
        self.lookup = lookup

    def looking_up(self, lookup: Mapping[Any, Any]) -> Context[SettingsT_co]:
        """Return the same context with what was looked up."""
        return Context(self.now, self.settings, lookup)


class Skip(Struct, frozen=True, gc=False):
    """Returned by a transform that wants no output for this event: it is counted as filtered.

    Attributes:
        reason: A short identifier, used as a metric label; never a value from the event.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Output:
    """One of several outputs of an event, or an output with a key or topic of its own.

    Attributes:
        value: An event of the type that its topic declares.
        key: Key bytes; None means the key of the input record.
        topic: A topic declared in ``Pipeline``; None means the output topic.
    """

    value: Any
    key: bytes | None = None
    topic: str | None = None


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A sample that is no event: the bytes that a broken sender would write."""

    key: bytes | None
    value: bytes | None


class Sample(Protocol):
    """Makes sample events without end, for ``lanternpipe produce`` and the demo.

    Yields events of the input topic's type, and a ``RawRecord`` for poison.
    """

    def __call__(
        self, *, seed: int, filtered: float, poison: float, large: bool, clock: Callable[[], float]
    ) -> Iterator[Any]:
        """Start a stream; ``filtered`` and ``poison`` are shares between 0 and 1."""


@dataclass(frozen=True, slots=True)
class Topic(Generic[In]):
    """A topic as code: what is in it, and how it should exist on the broker.

    Attributes:
        name: Its name; ``PIPELINE_TOPICS__...`` may override it.
        event: The ``msgspec.Struct`` of its values.
        key: The key of an event; required to produce to the topic.
        partitions: How many partitions ``lanternpipe topics apply`` creates.
        retention_hours: How long the broker keeps records.
        max_bytes: The largest record batch that the topic takes (``max.message.bytes``).
        config: Further topic settings by their Kafka names.
    """

    name: str
    event: type[In]
    key: Callable[[In], str | bytes | None] | None = None
    partitions: int = 6
    retention_hours: int = 7 * 24
    max_bytes: int = 1_048_588
    config: Mapping[str, str] = field(default_factory=dict)


class NoSettings(BaseModel):
    """For a pipeline that needs no settings of its own."""


Result: TypeAlias = Any
"""What a transform returns: an output event, ``Skip``, ``Output``, or a list of these."""


@dataclass(frozen=True, slots=True)
class Pipeline(Generic[In, Out]):
    """A whole pipeline, in one declaration.

    Attributes:
        input: Where events come from.
        output: Where results go when a transform does not say otherwise.
        transform: Called once per event; pure. Returns an output event, ``Skip``, ``Output`` or a
            list of these; raises ``Reject`` for an event that can never be processed, and
            ``Retry`` for one that cannot be just now.
        samples: Sample events.
        settings: The user's own settings: a pydantic model, read from ``PIPELINE_APP__...``.
        also: Further topics that ``Output(topic=...)`` may name.
        lookup: Asks others about the events of a batch, the only place for that; called once per
            batch, with a time-out. Returns a mapping for ``ctx.lookup``; where a value is a
            ``Retry``, the transform that asks for it is tried again, and so are all of the batch
            if it raises or takes too long.
    """

    input: Topic[In]
    output: Topic[Out]
    transform: Callable[[In, Context[Any]], Result]
    samples: Sample
    settings: type[BaseModel] = NoSettings
    also: tuple[Topic[Any], ...] = ()
    lookup: Callable[[Sequence[In], Context[Any]], Mapping[Any, Any]] | None = None
