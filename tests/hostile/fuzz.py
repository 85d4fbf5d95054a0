"""The same checks for a fuzzer, which knows bytes only: see ``tests.hostile.__main__``."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from lanternpipe.codec.json import JsonCodec
from lanternpipe.letter import Letter
from lanternpipe.records import Headers, Place, TopicPartition
from lanternpipe.telemetry.sampling import chosen, threshold
from lanternpipe.testing.fake_broker import Stored, run_of
from logins.events import UserLogin
from tests.hostile import checks
from tests.hostile.events import Strict, Varied
from tests.hostile.strategies import OURS, VARIABLES
from tests.hostile.worst import LOGIN

CODECS = [JsonCodec(event) for event in (UserLogin, Varied, Strict)]
PLANNER = checks.logins_planner()
NONE = 255
LONG = 254  # from here on, a length is counted in hundreds of bytes

SEEDS = [
    b"",
    LOGIN,
    bytes([NONE]) * 9,
    bytes([len(LOGIN)]) + LOGIN + b"\x01k\x04\x00\x00\x01\x93" + b"\x01\x03\x05words",
    b'\x07{"at":1\x02[[\xff\xff' + bytes(range(256)),
    *(random.Random(seed).randbytes(400) for seed in range(20)),
]


def parts(data: bytes) -> Iterator[bytes | None]:
    """Cut bytes into parts, each behind its length; then nothing but None."""
    while data:
        length, data = data[0], data[1:]
        if length == NONE:
            yield None
            continue
        length = min(len(data), length if length < LONG else 100 * length)
        yield data[:length]
        data = data[length:]
    while True:
        yield None


def headers_of(given: Iterator[bytes | None], most: int = 20) -> Headers:
    """Take headers from parts; a name of one byte is one of ours."""
    found: Headers = []
    while len(found) < most and (name := next(given)) is not None:
        text = OURS[name[0] % len(OURS)] if len(name) == 1 else name.decode("utf-8", "replace")
        found.append((text, next(given)))
    return found


def number_of(part: bytes | None) -> int:
    """Return a number of 64 bits."""
    return int.from_bytes((part or b"")[:8].ljust(8, b"\0"), "big", signed=True)


def decode(data: bytes) -> None:
    """Decode one value as events of several types."""
    for codec in CODECS:
        checks.an_event_or_a_reason(codec, data)


def process(data: bytes) -> None:
    """Plan a run of records."""
    given, found = parts(data), []
    for offset in range(4):
        value, key, time = next(given), next(given), number_of(next(given))
        found.append((offset, Stored(value, key, time, headers_of(given) or None)))
    checks.one_outcome_each(PLANNER, run_of(TopicPartition("user-login", 0), found))


def trace(data: bytes) -> None:
    """Read a trace context, and let it decide."""
    checks.a_context_or_none(data)
    chosen([data], [None], [0], [[("traceparent", data)]], threshold(0.5))


def letter(data: bytes) -> None:
    """Show a letter with its mark."""
    given = parts(data)
    value, key, mark, time = next(given), next(given), next(given), number_of(next(given))
    place = Place("words.dlq", 0, abs(time) // 2)
    checks.a_letter_is_read(Letter(place, time, key, value, headers_of(given)), mark)


def settings(data: bytes) -> None:
    """Load settings from two variables."""
    given = parts(data.replace(b"\0", b""))
    environment = {}
    for _ in range(2):
        name, value = next(given) or b"\1", next(given) or b""
        variable = VARIABLES[name[0] % len(VARIABLES)]
        # A second letter stands for a group, or for what is below a variable.
        variable = variable.rpartition("__")[0] or variable if len(name) > 1 else variable
        environment[variable] = value.decode("utf-8", "surrogateescape")
    checks.settings_or_a_sentence(environment)


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (decode, process, trace, letter, settings)
}
