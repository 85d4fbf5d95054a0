"""Lanternpipe: a real-time Kafka pipeline, observability first.

These are the public names; a user's package imports nothing else of Lanternpipe.
"""

from lanternpipe.errors import DeliveryError, Reject
from lanternpipe.pipeline import Context, Output, Pipeline, RawRecord, Skip, Topic
from lanternpipe.producer import EventProducer
from lanternpipe.version import VERSION as __version__

__all__ = [
    "Context",
    "DeliveryError",
    "EventProducer",
    "Output",
    "Pipeline",
    "RawRecord",
    "Reject",
    "Skip",
    "Topic",
    "__version__",
]
