"""What a command's exit code says."""

from __future__ import annotations

from lanternpipe.errors import (
    ConfigError,
    DeliveryError,
    FatalFailure,
    KafkaFailure,
    LanternpipeError,
    OffsetError,
    RefusedFailure,
    TopicError,
)

# One code for each thing that a supervisor or a person would do differently.
EXIT_CODES: tuple[tuple[type[LanternpipeError], int], ...] = (
    (ConfigError, 2),  # correct the settings; starting again does not help
    (TopicError, 3),  # create the topics
    (OffsetError, 4),  # records were lost on the broker: a person decides
    (FatalFailure, 5),  # start again
    (RefusedFailure, 8),  # grant or correct what the message names
    (KafkaFailure, 6),  # the broker did not answer
    (DeliveryError, 7),  # events were not delivered
    (LanternpipeError, 1),
)


def exit_code(error: LanternpipeError) -> int:
    """Return the exit code for an error."""
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))
