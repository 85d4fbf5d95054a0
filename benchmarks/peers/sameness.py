"""Everybody does the same work: the same outputs of the same records, but for the time added.

Who did less would look quick. A small topic with records to keep and records to drop is processed
by each, and what a reader of committed records sees is held against what is due.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from benchmarks.broker import Broker, committed_reader, preload
from benchmarks.peers.contenders import Peer, Stage, start

SOURCE = "bench-sameness"
RECORDS = 3_000
ADDED = "processed_timestamp"
OLDEST = (2, 0, 0)
WAIT_SECONDS = 60.0
MORE_SECONDS = 1.0  # in which an output too many would show


def check(peers: Sequence[Peer], stage: Stage, broker: Broker) -> None:
    """Exit with who does other work, and which."""
    broker.create_input(SOURCE)
    preload(broker, SOURCE, RECORDS)
    expected = due(contents(broker, SOURCE, RECORDS, check=lambda: None))
    for peer in peers:
        output = f"{SOURCE}-{peers.index(peer)}"
        broker.create(output)
        with start(peer, stage, SOURCE, output, quick=True) as process:
            found = contents(broker, output, len(expected), process.check)
        broker.delete(output)
        if words := difference(expected, found):
            raise SystemExit(f"{peer.name} does other work: {words}")
        print(f"{peer.name:42} makes the {len(found):,} outputs that are due", flush=True)
    broker.delete(SOURCE)


def due(records: Iterable[tuple[bytes, bytes]]) -> dict[bytes, dict[str, object]]:
    """Return the outputs by key, without the time that is added. Pure."""
    decode = msgspec.json.Decoder(dict[str, object]).decode
    values = {key: decode(value) for key, value in records}
    return {
        key: value
        for key, value in values.items()
        if tuple(map(int, str(value["app_version"]).split("."))) >= OLDEST
    }


def contents(
    broker: Broker, topic: str, expected: int, check: Callable[[], None]
) -> list[tuple[bytes, bytes]]:
    """Return keys and values, once there are as many as expected and no more come."""
    consumer = committed_reader(broker.servers, topic)
    found: list[tuple[bytes, bytes]] = []
    end = time.monotonic() + WAIT_SECONDS
    try:
        while time.monotonic() < end:
            check()
            complete = len(found) >= expected
            messages = consumer.consume(RECORDS, 0.2)
            found += [(message.key() or b"", message.value() or b"") for message in messages]
            if len(found) >= expected and not complete:
                end = time.monotonic() + MORE_SECONDS
    finally:
        consumer.close()
    return found


def difference(
    expected: dict[bytes, dict[str, object]], found: Sequence[tuple[bytes, bytes]]
) -> str:
    """Say what is other than expected; nothing where all is as it should be. Pure."""
    counts = Counter(key for key, _ in found)
    if missing := expected.keys() - counts:
        return f"{len(missing):,} outputs are missing, one of key {min(missing)!r}"
    if more := counts - Counter(expected.keys()):
        return f"{more.total():,} outputs are too many, one of key {min(more)!r}"
    for key, value in found:
        output = msgspec.json.decode(value, type=dict[str, object])
        if not isinstance(output.pop(ADDED, None), int):
            return f"no {ADDED} in {value!r}"
        if output != expected[key]:
            return f"{output} in place of {expected[key]}"
    return ""
