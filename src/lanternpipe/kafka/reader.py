"""A reader from outside: whole topics, or what is new in them, without a group."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import OFFSET_BEGINNING
from confluent_kafka import TopicPartition as ClientPartition

from lanternpipe.errors import TopicError
from lanternpipe.kafka.admin import describe_partitions
from lanternpipe.kafka.config import consumer_config
from lanternpipe.kafka.consumer import RecordConsumer
from lanternpipe.kafka.errors import mapped
from lanternpipe.ports import Log
from lanternpipe.settings import KafkaSettings


class TopicReader(RecordConsumer):
    """Reads all partitions of topics as anybody else would see them: committed records only.

    Joins no group and commits nothing. A stretch that the broker no longer has shows as
    ``Fetched.lost``.

    Args:
        kafka: The connection.
        topics: What to read.
        log: Writes log lines.
        newest: Whether to begin at what is written from now on; by default at the beginning.
    """

    def __init__(
        self, kafka: KafkaSettings, topics: Iterable[str], *, log: Log, newest: bool = False
    ) -> None:
        names = list(topics)
        # The client demands a group name even from those who join none.
        config = consumer_config(
            kafka.model_copy(update={"group_id": f"{kafka.group_id}-reader"}), instance=None
        )
        super().__init__(config, names, log=log, waiting=lambda _: None)
        places = []
        for name in names:
            partitions = describe_partitions(self._consumer, name)
            if not partitions:
                raise TopicError(f"{name} does not exist")
            # Looked up here: by the client's own OFFSET_END, "now" would be its first fetch.
            starts = self._ends.last_stable(partitions) if newest else {}
            places += [
                ClientPartition(*each, starts.get(each, OFFSET_BEGINNING)) for each in partitions
            ]
        with mapped("starting to read"):
            self._consumer.assign(places)
