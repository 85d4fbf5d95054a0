"""Every error of Lanternpipe, in one tree.

Two families: what a user's transform raises about one record (``RecordError``), and what the
program meets (``ConfigError``, ``KafkaFailure`` and below). Each message says what was wrong,
where, and what to do.
"""

from __future__ import annotations


class LanternpipeError(Exception):
    """Base of all errors raised by Lanternpipe on purpose."""


class RecordError(LanternpipeError):
    """Base of the errors that concern one record; such a record goes to the dead letters."""


class Reject(RecordError):  # reads as the verb that a transform speaks
    """Raised by a transform (or by the codec) for a record that can never be processed.

    Args:
        reason: A short identifier such as ``"bad_version"``; it becomes a metric label and a
            header, so it must not hold values from the record.
        field: The path of the offending field, such as ``"app_version"``.
        limit: What the field should have been, such as ``"N.N.N"``.
    """

    def __init__(self, reason: str, *, field: str | None = None, limit: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.limit = limit


class Retry(RecordError):  # reads as the verb that a transform speaks
    """Raised by a transform for a record that cannot be processed just now.

    It is tried again: by default its partition waits; see ``PIPELINE_RETRY__...``.

    Args:
        reason: A short identifier such as ``"geo_api_down"``; it becomes a metric label and a
            header, so it must not hold values from the record.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ConfigError(LanternpipeError):
    """Raised for a wrong setting, before anything has started; the message names its variable."""


class TopicError(LanternpipeError):
    """Raised when the topics on the broker are not what the pipeline declares."""


class OffsetError(LanternpipeError):
    """Raised when a committed offset no longer exists on the broker: data may have been lost."""


class DeliveryError(LanternpipeError):
    """Raised when the broker did not accept a record that ``EventProducer`` had sent."""


class KafkaFailure(LanternpipeError):
    """Base of what the Kafka client or the broker reported.

    Args:
        code: The name of the Kafka error, such as ``"COORDINATOR_NOT_AVAILABLE"``.
        message: What was tried, and what the client said.
        indefinite: Whether the outcome of the call is unknown (time-out, lost connection).
    """

    def __init__(self, code: str, message: str, *, indefinite: bool = False) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.indefinite = indefinite


class RetriableFailure(KafkaFailure):
    """Raised when the same call may simply be made again."""


class AbortableFailure(KafkaFailure):
    """Raised when the open transaction must be aborted and its records processed again."""


class FencedFailure(KafkaFailure):
    """Raised when another producer took over this transactional id, or its transaction expired."""


class RefusedFailure(KafkaFailure):
    """Raised when brokers do not take us, or we do not take them: a matter of rights or trust.

    Trying on helps as soon as somebody has granted or corrected what is missing.
    """


class FatalFailure(KafkaFailure):
    """Raised when the client cannot go on; the process must end and be started again."""
