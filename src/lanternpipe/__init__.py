"""Lanternpipe: a real-time Kafka pipeline, observability first.

These are the public names; a user's package imports nothing else of Lanternpipe.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lanternpipe.version import VERSION as __version__

if TYPE_CHECKING:
    from lanternpipe.errors import DeliveryError, Reject, Retry
    from lanternpipe.letter import Letter
    from lanternpipe.pipeline import Context, Output, Pipeline, RawRecord, Skip, Topic
    from lanternpipe.producer import EventProducer

__all__ = [
    "Context",
    "DeliveryError",
    "EventProducer",
    "Letter",
    "Output",
    "Pipeline",
    "RawRecord",
    "Reject",
    "Retry",
    "Skip",
    "Topic",
    "__version__",
]

# Imported when first asked for: a client of Kafka takes ten times as long to import as
# `lanternpipe health` takes to ask and answer.
_HOMES = {
    "Context": "pipeline",
    "DeliveryError": "errors",
    "EventProducer": "producer",
    "Letter": "letter",
    "Output": "pipeline",
    "Pipeline": "pipeline",
    "RawRecord": "pipeline",
    "Reject": "errors",
    "Retry": "errors",
    "Skip": "pipeline",
    "Topic": "pipeline",
}


def __getattr__(name: str) -> Any:
    """Import a public name."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
