"""What all clients have in common: how they are opened, their log lines and error events."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, libversion

from lanternpipe.errors import ConfigError, RefusedFailure
from lanternpipe.kafka.errors import INDEFINITE, REFUSED
from lanternpipe.kafka.refusal import explained
from lanternpipe.kafka.security import resolved
from lanternpipe.kafka.stats import StatisticsWatch
from lanternpipe.ports import Log

Client = TypeVar("Client")
CLIENT_VERSION = libversion()[0]
LOST_CONNECTION = "FAIL "  # how the client begins the log line about one


class Events:
    """What a client reports besides the results of calls.

    Attributes:
        disturbed: Whether a connection was lost or a request timed out since last reset.
        last: The last error, which often says more than the call that failed.
        statistics: What the client tells of itself, where it is configured to.

    Args:
        name: Of the client, in log lines.
        log: Writes log lines.
        unreachable: Called with a code when no broker can be reached.
        refused: Called with a code and a reason when one does not take us, or we not it.
    """

    def __init__(
        self,
        name: str,
        log: Log,
        unreachable: Callable[[str], None] = lambda _: None,
        refused: Callable[[str, str], None] = lambda _, __: None,
    ) -> None:
        self.disturbed = False
        self.last: KafkaError | None = None
        self.statistics = StatisticsWatch()
        self._name = name
        self._log = log
        self._unreachable = unreachable
        self._refused = refused
        self._heard: object = None

    def hooks(self, who: object = None) -> dict[str, Any]:
        """Return the configuration entries that make a client report here, while it is heard."""

        def heard(take: Callable[..., None]) -> Callable[..., None]:
            def tell(*told: Any) -> None:
                if self._heard is who:
                    take(*told)

            return tell

        # Not from getLogger: nothing of ours belongs into the process's global registry.
        logger = logging.Logger(f"librdkafka.{self._name}")  # noqa: LOG001
        logger.addHandler(_Forward(self._log, self._name, heard(self._on_lost_connection)))
        return {
            "error_cb": heard(self._on_error),
            "logger": logger,
            "stats_cb": heard(self.statistics.take),
        }

    def take_over(self, opens: Callable[[dict[str, Any]], Client]) -> Client:
        """Open a client and hear it alone: the one before may say things late."""
        who = object()
        client = opens(self.hooks(who))
        self._heard = who
        return client

    def _on_lost_connection(self) -> None:
        # A request that goes with it is sent again unasked, and no error tells of that.
        self.disturbed = True

    def _on_error(self, error: KafkaError) -> None:
        self.last = error
        if error.code() in INDEFINITE:
            self.disturbed = True
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._unreachable(error.name())
        elif error.code() in REFUSED:
            self._refused(error.name(), explained(error))
        # Calls report what matters to them; here it is only of use to someone who digs.
        self._log("debug", "kafka_client_error", client=self._name, code=error.name())


class _Forward(logging.Handler):
    """Hands librdkafka's own log lines on; unreachable brokers are said once elsewhere."""

    def __init__(self, log: Log, name: str, lost_connection: Callable[[], None]) -> None:
        super().__init__()
        self._log = log
        self._name = name
        self._lost_connection = lost_connection

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith(LOST_CONNECTION):
            self._lost_connection()
        self._log("debug", "kafka_client_log", client=self._name, text=text)


def reopened(kind: Callable[[dict[str, Any]], Client], config: dict[str, Any]) -> Client:
    """Open a client in place of one that was opened with the same configuration.

    Raises:
        RefusedFailure: Files do not fit together, as while they are being replaced.
    """
    try:
        return opened(kind, config)
    except ConfigError as error:
        raise RefusedFailure("_INVALID_ARG", str(error)) from error


def opened(kind: Callable[[dict[str, Any]], Client], config: dict[str, Any]) -> Client:
    """Open a client.

    Raises:
        ConfigError: The client does not know a setting, or refuses its value; or a file with a
            secret cannot be read.
    """
    try:
        return kind(resolved(config))
    except (KafkaException, TypeError, ValueError) as error:
        told = error.args[0]
        text = told.str() if isinstance(told, KafkaError) else str(told)
        raise ConfigError(
            f"PIPELINE_KAFKA__…: {text}; for what EXTRA__… says, librdkafka's CONFIGURATION.md has "
            "the right form"
        ) from error
