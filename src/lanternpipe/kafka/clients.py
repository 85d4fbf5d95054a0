"""What all clients have in common: log lines, error events, waiting for a broker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from lanternpipe.errors import FatalFailure
from lanternpipe.kafka.config import Config
from lanternpipe.kafka.errors import INDEFINITE, UNREACHABLE, failure
from lanternpipe.ports import Log


class Events:
    """What a client reports besides the results of calls.

    Attributes:
        disturbed: Whether a connection was lost or a request timed out since last reset.
    """

    def __init__(self, name: str, log: Log) -> None:
        self.disturbed = False
        self._name = name
        self._log = log

    def hooks(self) -> dict[str, Any]:
        """Return the configuration entries that make a client report here."""
        # Not from getLogger: nothing of ours belongs into the process's global registry.
        logger = logging.Logger(f"librdkafka.{self._name}")  # noqa: LOG001
        logger.addHandler(_Forward(self._log, self._name))
        return {"error_cb": self._on_error, "logger": logger}

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in INDEFINITE:
            self.disturbed = True
        # Calls report what matters to them; here it is only of use to someone who digs.
        self._log("debug", "kafka_client_error", client=self._name, code=error.name())


class _Forward(logging.Handler):
    """Hands librdkafka's own log lines on; unreachable brokers are said once elsewhere."""

    def __init__(self, log: Log, name: str) -> None:
        super().__init__()
        self._log = log
        self._name = name

    def emit(self, record: logging.LogRecord) -> None:
        self._log("debug", "kafka_client_log", client=self._name, text=record.getMessage())


def wait_for_broker(
    client: Any,
    config: Config,
    *,
    log: Log,
    stopping: Callable[[], bool],
    beat: Callable[[], None] = lambda: None,
) -> bool:
    """Wait until a broker answers, saying once that none does; False if asked to stop before.

    Raises:
        FatalFailure: The broker answers and refuses us.
    """
    addresses = config["bootstrap.servers"]
    said = False
    while not stopping():
        beat()
        try:
            client.list_topics(timeout=1.0)
        except KafkaException as error:
            cause = error.args[0]
            if cause.code() not in UNREACHABLE:
                raise FatalFailure(
                    cause.name(), f"{addresses}: {failure(cause, 'connecting')}"
                ) from error
            if not said:
                said = True
                log(
                    "warning",
                    "broker_unreachable",
                    brokers=addresses,
                    code=cause.name(),
                    hint="trying on; set PIPELINE_KAFKA__BOOTSTRAP_SERVERS if this is not the one",
                )
        else:
            if said:
                log("info", "broker_reachable", brokers=addresses)
            return True
    return False
