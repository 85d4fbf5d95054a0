"""The worst that fits into a record, one by one, in a process that may take little.

Run by the tests as a process of its own: ``python -m tests.hostile.worst`` prints what became of
each. A limit that is hit ends the process.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lanternpipe import headers
from lanternpipe.codec.json import JsonCodec
from lanternpipe.letter import Letter
from lanternpipe.records import Headers, Place, TopicPartition
from lanternpipe.testing.fake_broker import Stored, run_of
from logins.events import UserLogin
from tests.hostile import checks
from tests.hostile.events import Strict, Varied

MEGABYTE = 1_000_000
DEPTH = 100_000
MEMORY = 256 * MEGABYTE  # above what the process has when all is imported
CPU_SECONDS = 60
SOURCE = TopicPartition("user-login", 0)
LOGIN = (
    b'{"user_id":"u","app_version":"2.3.0","ip":"i","locale":"NV","device_id":"d",'
    b'"timestamp":1729741922,"device_type":"iOS"}'
)
PLANNER = checks.logins_planner()


def login(**changed: bytes) -> bytes:
    """Return a login with other JSON in some fields."""
    fields = {name: b'"2.3.0"' if "version" in name else b'"u"' for name in _FIELDS}
    fields |= {"timestamp": b"1729741922", **changed}
    return b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), fields[name]) for name in fields)


def _nothing(count: int) -> Headers:
    return [("", None)] * count


_FIELDS = UserLogin.__struct_fields__
# Outcome, and what is sent. A context that is none makes room for that of a span.
_CASES: dict[str, tuple[str, Callable[[], Stored]]] = {
    "nested beside": ("undecodable", lambda: Stored(b'{"x":' + b"[" * DEPTH)),
    "nested in": ("invalid", lambda: Stored(login(ip=b"[" * DEPTH + b"]" * DEPTH))),
    "objects nested in": ("invalid", lambda: Stored(login(ip=b'{"ip":' * DEPTH))),
    "nested beside all": (
        "undecodable",
        lambda: Stored(LOGIN[:-1] + b',"x":' + b"[" * DEPTH + b"]" * DEPTH + b"}"),
    ),
    "exponent": ("invalid", lambda: Stored(login(timestamp=b"1e999999"))),
    "400 digits": ("invalid", lambda: Stored(login(timestamp=b"9" * 400))),
    "400 digits as text": ("invalid", lambda: Stored(login(timestamp=b'"' + b"9" * 400 + b'"'))),
    "a million digits": ("invalid", lambda: Stored(login(timestamp=b"9" * MEGABYTE))),
    "a million digits as text": (
        "invalid",
        lambda: Stored(login(timestamp=b'"' + b"9" * MEGABYTE + b'"')),
    ),
    "a million digits as a version": (
        "invalid",
        lambda: Stored(login(app_version=b'"' + b"9" * MEGABYTE + b'.0.0"')),
    ),
    "a million dots as a version": (
        "invalid",
        lambda: Stored(login(app_version=b'"' + b"." * MEGABYTE + b'"')),
    ),
    "not a number": ("undecodable", lambda: Stored(login(timestamp=b"NaN"))),
    "infinity": ("undecodable", lambda: Stored(login(timestamp=b"-Infinity"))),
    "a field twice": ("", lambda: Stored(LOGIN[:-1] + b',"ip":"j"}')),
    "a field twice, wrong": ("invalid", lambda: Stored(LOGIN[:-1] + b',"ip":5}')),
    "a field 100,000 times": ("", lambda: Stored(LOGIN[:-1] + b',"ip":"j"' * DEPTH + b"}")),
    "100,000 other fields": (
        "",
        lambda: Stored(LOGIN[:-1] + b"".join(b',"%d":0' % each for each in range(DEPTH)) + b"}"),
    ),
    "a lone surrogate": ("undecodable", lambda: Stored(login(ip=rb'"\ud800"'))),
    "surrogates in reverse": ("undecodable", lambda: Stored(login(ip=rb'"\udc00\ud800"'))),
    "a surrogate in UTF-8": ("undecodable", lambda: Stored(login(ip=b'"\xed\xa0\x80"'))),
    "a byte order mark": ("undecodable", lambda: Stored(b"\xef\xbb\xbf" + LOGIN)),
    "UTF-16": ("undecodable", lambda: Stored(LOGIN.decode().encode("utf-16"))),
    "NUL before": ("undecodable", lambda: Stored(b"\x00" + LOGIN)),
    "NUL behind": ("undecodable", lambda: Stored(LOGIN + b"\x00")),
    "NUL as itself": ("undecodable", lambda: Stored(login(ip=b'"\x00"'))),
    "NUL as told": ("", lambda: Stored(login(ip=rb'"\u0000"'))),
    "a text of 10 MB": ("too_large", lambda: Stored(login(ip=b'"' + b"x" * 10 * MEGABYTE + b'"'))),
    "escapes of 10 MB": (
        "too_large",
        lambda: Stored(login(ip=b'"' + rb"\u00e9" * (10 * MEGABYTE // 6) + b'"')),
    ),
    "10 MB of blanks": ("", lambda: Stored(b" " * 10 * MEGABYTE + LOGIN)),
    "10 MB of nothing": ("undecodable", lambda: Stored(b"\x00" * 10 * MEGABYTE)),
    "a key of 10 MB": ("too_large", lambda: Stored(LOGIN, b"k" * 10 * MEGABYTE)),
    "10,000 headers": ("", lambda: Stored(LOGIN, None, 0, [("h", b"v" * 50)] * 10_000)),
    "10,000 headers of a poison": (
        "undecodable",
        lambda: Stored(b"{", None, 0, [(f"h{each}", b"v" * 50) for each in range(10_000)]),
    ),
    "10,000 headers of ours": (
        "undecodable",
        lambda: Stored(b"{", None, 0, [(headers.EVENT_ID, b"%d" % at) for at in range(10_000)]),
    ),
    "10,000 large headers": (
        "too_large",
        lambda: Stored(LOGIN, None, 0, [("h", b"v" * 1_000)] * 10_000),
    ),
    "a million headers with nothing in them": (
        "too_large",
        lambda: Stored(LOGIN, None, 0, _nothing(MEGABYTE)),
    ),
    "a million such headers of a poison": (
        "undecodable",
        lambda: Stored(b"{", None, 0, _nothing(2 * MEGABYTE)),
    ),
    "a header of 10 MB": (
        "too_large",
        lambda: Stored(LOGIN, None, 0, [("h", b"v" * 10 * MEGABYTE)]),
    ),
    "a trace context of 10 MB": (
        "",
        lambda: Stored(LOGIN, None, 0, [("traceparent", b"00-" * (10 * MEGABYTE // 3))]),
    ),
    "the largest time": ("", lambda: Stored(LOGIN, None, 2**63 - 1)),
    "a time before all": ("", lambda: Stored(LOGIN, None, -(2**63))),
}
CASES = {name: outcome for name, (outcome, _) in _CASES.items()}


def outcome_of(stored: Stored) -> str:
    """Return why a record became a dead letter; empty where it was processed."""
    for event in (Varied, Strict):
        checks.an_event_or_a_reason(JsonCodec(event), stored.value)
    plan = checks.one_outcome_each(PLANNER, run_of(SOURCE, [(0, stored)]))
    letter = Letter(
        Place(*SOURCE, 0), stored.timestamp, stored.key, stored.value, stored.headers or []
    )
    checks.a_letter_is_read(letter, mark=stored.value)
    return "".join(plan.dead_lettered)


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def main() -> None:
    """Print outcome and seconds of each case."""
    outcome_of(Stored(LOGIN))  # what is imported late
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    told: dict[str, Any] = {}
    for name, (_, make) in _CASES.items():
        began = time.perf_counter()
        told[name] = outcome_of(make()), time.perf_counter() - began
        print(name, *told[name], file=sys.stderr, flush=True)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
