"""A module whose pipelines raise the error of their name as soon as they are looked at."""

from __future__ import annotations

from lanternpipe import errors

BUILT_IN = {"KeyboardInterrupt": KeyboardInterrupt}


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(name)
    if name in BUILT_IN:
        raise BUILT_IN[name]
    kind = getattr(errors, name)
    text = "first line\nsecond line"
    raise kind("CODE", text) if issubclass(kind, errors.KafkaFailure) else kind(text)
