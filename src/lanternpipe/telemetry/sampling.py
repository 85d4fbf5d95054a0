"""Which records are traced: a pure function, so that every hop decides alike.

Where a record carries a ``traceparent``, its flag decides. Where it carries none, a hash of its key
(or value) and create time does; that is not trace-id sampling, as there is no trace yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import Final, NamedTuple

from xxhash import xxh32_intdigest

from lanternpipe.errors import ConfigError
from lanternpipe.records import TRACEPARENT, Headers

DEFAULT_RATIO: Final = 0.01  # OpenTelemetry's is 1: every span, which no pipeline can pay for
SAMPLED: Final = 0x01
LENGTH: Final = 55  # of a ``traceparent``, in its only version so far
_FORM = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_ZEROS = (b"0" * 32, b"0" * 16)
_SAMPLERS = {
    "parentbased_always_on": 1.0,
    "parentbased_always_off": 0.0,
    "parentbased_traceidratio": None,
}


class Parent(NamedTuple):
    """The context that a record carries.

    Attributes:
        trace_id: Of the trace.
        span_id: Of the span that made the record.
        sampled: Whether the trace is kept.
    """

    trace_id: int
    span_id: int
    sampled: bool


class Allowance:
    """Grants so many of something each second; for one thread at a time.

    Args:
        per_second: How many.
    """

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._second = 0
        self._left = per_second

    def spent(self, second: int) -> bool:
        """Tell whether nothing is left in this second."""
        return second <= self._second and not self._left

    def take(self, wanted: int, second: int) -> int:
        """Return how many of those wanted are granted in this second."""
        if second > self._second:
            self._second, self._left = second, self._per_second
        granted = min(wanted, self._left)
        self._left -= granted
        return granted


def ratio_from(environment: Mapping[str, str], default: float = DEFAULT_RATIO) -> float:
    """Return the share of records to trace, from the standard variables.

    Args:
        environment: Holds the variables.
        default: The share where they name none.

    Raises:
        ConfigError: A sampler that we do not have, or no number from 0 to 1.
    """
    name = environment.get("OTEL_TRACES_SAMPLER", "")
    if name and name not in _SAMPLERS:
        raise ConfigError(
            f"OTEL_TRACES_SAMPLER={name} is not supported: give one of {', '.join(_SAMPLERS)}"
        )
    fixed = _SAMPLERS.get(name)
    if fixed is not None:
        return fixed
    text = environment.get("OTEL_TRACES_SAMPLER_ARG", "") or str(default)
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise ConfigError(f"OTEL_TRACES_SAMPLER_ARG={text} must be a number from 0 to 1")
    return ratio


def threshold(ratio: float) -> int:
    """Return the hash below which a record is traced."""
    return round(ratio * 2**32)


def decides(key: bytes | None, value: bytes | None, create_ms: int, limit: int) -> bool:
    """Tell whether a record without ``traceparent`` is traced."""
    return xxh32_intdigest(value or b"" if key is None else key, create_ms) < limit


def chosen(
    keys: Sequence[bytes | None],
    values: Sequence[bytes | None],
    timestamps: Sequence[int],
    headers: Sequence[Headers | None] | None,
    limit: int,
) -> dict[int, Parent | None]:
    """Return the places of the records that are traced, with the context that they carry."""
    found: dict[int, Parent | None] = {}
    if limit:
        try:
            found = _below(limit, keys, timestamps)
        except TypeError:  # a key is None, which is dear to look for each time
            hashed = (
                value or b"" if key is None else key
                for key, value in zip(keys, values, strict=True)
            )
            found = _below(limit, hashed, timestamps)
    if headers is not None:
        _obey(headers, found)
    return found


def _below(
    limit: int, keys: Iterable[bytes | None], timestamps: Iterable[int]
) -> dict[int, Parent | None]:
    """Do as ``decides``, at C speed. A create time has 41 bits; the hash takes 32 of them."""
    hashes = map(xxh32_intdigest, keys, timestamps)  # type: ignore[arg-type]  # None raises
    return {place: None for place, hash_ in enumerate(hashes) if hash_ < limit}


def parsed(text: bytes | str | None) -> Parent | None:
    """Return the context that a ``traceparent`` tells; None where it tells none."""
    match = _FORM.fullmatch(text.encode() if isinstance(text, str) else text or b"")
    if match is None or match[1] == b"ff" or match[2] == _ZEROS[0] or match[3] == _ZEROS[1]:
        return None
    return Parent(int(match[2], 16), int(match[3], 16), bool(int(match[4], 16) & SAMPLED))


def written(trace_id: int, span_id: int) -> bytes:
    """Return the ``traceparent`` of a span that is kept."""
    return b"00-%032x-%016x-01" % (trace_id, span_id)


def replaced(headers: Headers | None, traceparent: bytes) -> Headers:
    """Return headers with this ``traceparent`` in place of any other; foreign ones stay."""
    kept = [each for each in headers or () if each[0] != TRACEPARENT]
    return [*kept, (TRACEPARENT, traceparent)]


def _obey(headers: Sequence[Headers | None], found: dict[int, Parent | None]) -> None:
    """Let the decisions that records carry stand above our own."""
    for place in compress(range(len(headers)), headers):
        for name, content in headers[place] or ():
            if name != TRACEPARENT or content is None:
                continue
            # Where somebody else decides, most records say no: seen without a look at their ids.
            if len(content) == LENGTH and content[:3] == b"00-" and content[-3:] == b"-00":
                found.pop(place, None)
                break
            if (parent := parsed(content)) is not None:
                if parent.sampled:
                    found[place] = parent
                else:
                    found.pop(place, None)
                break
