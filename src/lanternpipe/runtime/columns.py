"""Passes over columns at C speed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress
from typing import Any, TypeVar

from lanternpipe.records import Headers

T = TypeVar("T")

# What says something about this process, and nothing about the record at hand.
ABOUT_THE_PROCESS = (MemoryError, KeyboardInterrupt)


def attempt(
    function: Callable[..., T],
    column: Sequence[Any],
    *more: Iterable[Any],
    iterator: Iterator[Any] | None = None,
) -> tuple[list[T | None], dict[int, BaseException]]:
    """Map ``function`` over columns; where it raises, the result is None and the error is kept.

    ``list.extend`` keeps what it got before an exception and ``map`` goes on behind the element
    that raised, so a batch without failures costs one C loop, and a failure one turn more. Who
    wants to see how far it has come gives an ``iterator`` over the column.
    """
    results: list[Any] = []
    failures: dict[int, BaseException] = {}
    mapped = map(function, column if iterator is None else iterator, *more)
    while len(results) < len(column):
        try:
            results.extend(mapped)
        except ABOUT_THE_PROCESS:
            raise
        except BaseException as error:  # noqa: BLE001  # even sys.exit() concerns one record
            failures[len(results)] = error
            results.append(None)
        else:
            if len(results) < len(column):  # a StopIteration looks like the end of the column
                failures[len(results)] = StopIteration()
                results.append(None)
    return results, failures


def kept(
    keep: Sequence[bool],
    keys: list[bytes | None],
    timestamps: list[int],
    headers: list[Headers | None] | None,
) -> tuple[list[bytes | None], list[int], list[Headers | None] | None]:
    """Return the columns of an output with only the records that ``keep`` tells."""
    return (
        list(compress(keys, keep)),
        list(compress(timestamps, keep)),
        None if headers is None else list(compress(headers, keep)),
    )
